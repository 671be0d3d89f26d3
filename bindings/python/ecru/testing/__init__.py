"""What ecru is tested with: CPython's own suite over the patched standard library."""
