"""The refresh tokens that a project accepts at a moment, and the errors for the others."""

from dataclasses import dataclass

from .api_errors import ApiError
from .directory import SeedUser
from .project import Project
from .token_families import EndReason, RefreshTokenRecord, TokenFamily

__all__ = ["RefreshPolicy"]


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """Decides about refresh tokens by the project and the time (epoch seconds)."""

    project: Project
    now: float

    def check_active(self, family: TokenFamily) -> None:
        """Check that a family has neither ended nor expired.

        Raises:
            ApiError: It is expired or idle (E061005), revoked (E064001), or was ended by a reuse (E064006).
        """
        if family.end_reason is EndReason.REUSE:
            raise self.token_reused()
        if family.end_reason is EndReason.LOGOUT:
            raise ApiError.logged_out(self.project.assumptions.revoked_status)
        if self.now >= family.ends_at:
            raise self.invalid_token("The refresh token has expired")
        if self.is_idle(family):
            raise self.invalid_token("The session was inactive for too long")

    def is_idle(self, family: TokenFamily) -> bool:
        """Return whether the family was not used for longer than the project permits."""
        limit = self.project.inactivity_seconds
        return limit > 0 and self.now - family.last_used > limit

    def is_replaced(self, record: RefreshTokenRecord) -> bool:
        """Return whether a refresh has replaced the token, and the grace period for it is over."""
        replaced_at = record.replaced_at
        # abs(): moving the clock back does not extend the grace period.
        return replaced_at is not None and abs(self.now - replaced_at) >= self.project.reuse_grace

    def owner(self, family: TokenFamily) -> SeedUser:
        """Return the user of a family.

        Raises:
            ApiError: The user is gone or disabled.
        """
        user = self.project.find_user(family.user_id)
        if user is None:
            raise ApiError.unknown_user()
        if user.is_disabled:
            raise self.invalid_token("The user is disabled")
        return user

    def invalid_token(self, message: str = "Failed to validate invalid JWT for any token") -> ApiError:
        """Return the error of a token that is unknown or expired."""
        return ApiError.bad_token(message, self.project.assumptions.revoked_status)

    def token_reused(self) -> ApiError:
        """Return the error of a family in which a replaced token was used."""
        return ApiError.family_invalidated(self.project.assumptions.reuse_status)
