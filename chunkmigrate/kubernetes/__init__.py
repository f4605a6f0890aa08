"""Kubernetes: what a migration looks like to a cluster."""
