"""The end of a login: from the proof that the browser brings back to the cookies of its session."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from ...errors import UpstreamUnavailable
from ...session import TokenPair
from ..login_transactions import Transaction
from ..request_auth import RequestAuth
from .login_steps import LoginSteps

__all__ = ["LoginCompletion"]


@dataclass(frozen=True, slots=True)
class LoginCompletion:
    """Completes the logins of which a browser brings back a proof: a code, or the token of a link."""

    steps: LoginSteps

    async def complete(
        self,
        request: Request,
        auth: RequestAuth,
        transaction: Transaction,
        state: str | None,
        read_proof: Callable[[], str],
    ) -> str:
        """Sign the browser in, and return the URL at which the login ends.

        ``read_proof`` returns the validated proof, or raises ``LoginRejected``. It returns anything for a
        login that this browser has completed: that is repeated without a proof.
        """
        await auth.delete_duplicates()
        try:
            pair = await self._tokens(request, auth, transaction, state, read_proof)
        except UpstreamUnavailable:
            raise
        except Exception:
            self.steps.delete_transaction(request, auth, state)
            raise
        url = self.steps.stored_return_to(transaction, auth)
        if pair is not None:
            await self.steps.sign_in(auth, pair)
            self.steps.mark_completed(request, auth, transaction, url)
        return url

    async def _tokens(
        self,
        request: Request,
        auth: RequestAuth,
        transaction: Transaction,
        state: str | None,
        read_proof: Callable[[], str],
    ) -> TokenPair | None:
        """Return the tokens of the login, or None if the browser has them already."""
        proof, flow = read_proof(), self.steps.core.login_flow
        if transaction.used:
            return await flow.repeat_login(transaction.secret, auth.credentials())
        admission = self.steps.admission(request, auth)
        pair = await flow.complete_login(
            proof, admission, secret=transaction.secret, method=transaction.method
        )
        if pair is None:
            pair = await flow.repeat_login(transaction.secret, auth.credentials())
        else:
            await self.steps.end_completed(request, auth, superseded=True)
        self.steps.mark_used(request, auth, state)
        return pair
