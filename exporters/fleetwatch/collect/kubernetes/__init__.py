"""Clusters of Kubernetes, watched."""
