"""JWT verification under Descope's JWKS."""
