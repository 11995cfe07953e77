"""The page at the door, and the API's documentation without a CDN."""
