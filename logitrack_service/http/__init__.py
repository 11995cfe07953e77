"""HTTP concerns of every endpoint: decoding, problem documents, middleware, protocol and OpenAPI."""
