"""The membership of one server: the cache that decisions read, and the refresher that fills it."""

from __future__ import annotations

from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.refresher import MembershipRefresher


class MembershipService:
    """The `authn.ports.MembershipCheck` of one server. Its methods are those of the two parts, without a call in between."""

    def __init__(self, cache: MembershipCache, refresher: MembershipRefresher) -> None:
        self.check_role_session = cache.check_role_session
        self.match_group_mappings = cache.match_group_mappings
        self.covers_account = cache.covers_account
        self.answer_status_query = cache.answer_status_query
        self.refresh = refresher.refresh
        self.start = refresher.start
        self.stop = refresher.stop
