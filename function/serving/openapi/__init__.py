"""The OpenAPI 3.1 description of the function, and its web page."""
