"""Volumes, snapshots and images of AWS: what is there, and what nobody uses."""
