# Two images: `docker build --target training .` and `docker build --target function .`
# Renovate pins the base images by digest and proposes newer ones (.gitlab/renovate.json).

# Any base with Python 3.11 works, also for GPUs: wheels contain CUDA, the NVIDIA container runtime provides the driver.
ARG TRAINING_BASE=python:3.11-slim-bookworm

# Initial weights of the preset `default`.
FROM node:20-bookworm-slim AS weights
WORKDIR /weights
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM ${TRAINING_BASE} AS training
# training/requirements-cpu.txt without a GPU
ARG REQUIREMENTS=training/requirements-gpu.txt
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app/function
WORKDIR /app
COPY ${REQUIREMENTS} requirements.txt
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.txt
COPY --from=weights /weights/node_modules/@vladmandic/human/models/faceres.* node_modules/@vladmandic/human/models/
COPY function/ function/
COPY training/ training/
# Steps write to build/. Mount a volume there to keep the files.
RUN useradd --create-home --uid 10001 app && install -d -o app build
USER 10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]

FROM python:3.11-slim-bookworm AS function
ENV PYTHONUNBUFFERED=1 PORT=8080
WORKDIR /app
COPY function/requirements.txt .
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.txt
COPY function/main.py .
COPY function/model/ model/
COPY function/serving/ serving/
# Compile byte code here, since the user below cannot write it and each start would compile again.
RUN python -m compileall -q /app && useradd --create-home --uid 10001 app
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health\")"]
CMD ["functions-framework", "--source", "main.py", "--target", "predict"]
