"""Snapshots and build results in a folder, an S3 bucket or Cloudflare R2."""
