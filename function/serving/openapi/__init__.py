"""The OpenAPI 3.1 description of the function and the page that shows it."""
