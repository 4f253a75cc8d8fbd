"""AI services through CloudWatch: what AWS calls what, and what that means, stands in one file per service."""
