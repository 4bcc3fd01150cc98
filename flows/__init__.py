"""Prefect flows: order, policy, schedule."""
