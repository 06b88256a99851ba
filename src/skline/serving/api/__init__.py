"""The service's HTTP routes, one file per group, and their OpenAPI schema."""
