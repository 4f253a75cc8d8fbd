"""How AWS is asked: who we are, where we ask, what came of each request.

Nothing here imports the AWS SDK before the first request: a program without AWS sources never pays for it.
"""

from __future__ import annotations

from fleetwatch.aws.access import Access, Account, Target

__all__ = ["Access", "Account", "Target"]
