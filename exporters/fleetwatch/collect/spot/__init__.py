"""Machines of EC2: which run, what they cost, who takes them away, where to go instead."""
