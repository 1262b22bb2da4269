"""Every error Headroom raises on purpose, and the HTTP status each one becomes.

    HeadroomError
    +-- InvalidRequest        400  the caller's request cannot be understood
    |   +-- BodyTooLarge      413  larger than `max_body_mb`, also after decompression
    +-- Unauthorized          401  no credential, or not the right one
    +-- Forbidden             403  a credential that may not do this
    +-- NotFound              404  never stored, or not yours
    +-- Expired               410  stored once, its lifetime is over
    +-- RateLimited           429  a limit of requests, tokens or dollars is reached
    +-- UpstreamUnreachable   502  the provider could not be reached or broke off before its answer
    +-- Closing               503  this server is about to end
    +-- IdentityUnavailable   503  the identity provider's keys cannot be read
    +-- StoreUnavailable      503  the reversible store cannot be read or written
    +-- ModelUnavailable      503  a model cannot be loaded on this machine; requests go on without it
    +-- SettingsError          -   the process does not start

Messages are read by a person at a terminal: they name what is wrong and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class HeadroomError(Exception):
    """Base of all errors raised on purpose. `kind` is the `type` field of the JSON error."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "api_error"
    retry_after_s: int | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(HeadroomError):
    status = 400
    kind = "invalid_request"


class BodyTooLarge(InvalidRequest):
    status = 413
    kind = "request_too_large"


class Unauthorized(HeadroomError):
    status = 401
    kind = "authentication_error"


class Forbidden(HeadroomError):
    status = 403
    kind = "permission_error"


class NotFound(HeadroomError):
    status = 404
    kind = "not_found"


class Expired(HeadroomError):
    status = 410
    kind = "expired"


class RateLimited(HeadroomError):
    status = 429
    kind = "rate_limit_error"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UpstreamUnreachable(HeadroomError):
    status = 502
    kind = "api_error"


class Closing(HeadroomError):
    status = 503
    kind = "closing"
    retry_after_s = 1


class IdentityUnavailable(HeadroomError):
    status = 503
    kind = "identity_unavailable"
    retry_after_s = 5


class StoreUnavailable(HeadroomError):
    status = 503
    kind = "store_unavailable"
    retry_after_s = 1


class ModelUnavailable(HeadroomError):
    """`reason` is one word: not_installed, no_model or failed."""

    status = 503
    kind = "model_unavailable"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ModelUnavailable], tuple[str, str]]:
        return type(self), (self.reason, self.message)


class SettingsError(HeadroomError):
    """A setting, flag, variable or file that the process refuses to start with."""
