"""Kubernetes: what a migration looks like to a cluster, what its objects say, and how to reach one."""
