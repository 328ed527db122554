"""Measurements that anyone can repeat: python -m benchmarks NAME prints ours and the peers' in one run."""
