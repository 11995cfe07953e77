"""Web pages: the console, a React application whose sources are in `web`, and the API documentation."""
