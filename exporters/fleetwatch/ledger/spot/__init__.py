"""Machines of EC2: what they used, which there are, and who took them away."""
