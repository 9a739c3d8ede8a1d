"""AWS credentials as a plain value. On the `token` path: this module imports nothing."""


class Credentials:
    """An access key pair, perhaps of a session. `expires` is unix seconds, None for keys without an end."""

    __slots__ = ("access_key_id", "expires", "secret_access_key", "session_token")

    def __init__(
        self, access_key_id: str, secret_access_key: str, session_token: str = "", expires: float | None = None
    ) -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token
        self.expires = expires

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (
            self.access_key_id == other.access_key_id
            and self.secret_access_key == other.secret_access_key
            and self.session_token == other.session_token
            and self.expires == other.expires
        )

    def __hash__(self) -> int:
        return hash((self.access_key_id, self.secret_access_key, self.session_token, self.expires))

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r})"
