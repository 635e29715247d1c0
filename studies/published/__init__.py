"""Published claims about which loss, and which value of its knob, is best where; and what a study says of each of them."""

from __future__ import annotations

from studies.published.claims import Claim, list_claims, read_claims, shipped_claims
from studies.published.status import Checked, Status, check_claims, claimed_values

__all__ = ["Checked", "Claim", "Status", "check_claims", "claimed_values", "list_claims", "read_claims", "shipped_claims"]
