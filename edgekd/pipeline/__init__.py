"""From a file to kept results: read, resolve, plan, run."""
