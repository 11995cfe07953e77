"""Web pages: a form to try the API, and its documentation, served without a CDN."""
