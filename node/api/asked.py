"""What routes of a node share: looking up what a caller named, and the problem documents they may answer with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import HTTPException, Request

from node.api.shapes import digest

if TYPE_CHECKING:
    from node.api.service import Service
    from node.consortium.records import ModelView, RoundView

PROBLEM_TYPE: Final = "application/problem+json"
_WHY: Final = {
    400: "What was named is malformed.",
    404: "There is no such thing here.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body is of no kind that is read here.",
    422: "What was sent cannot be used.",
    416: "No byte of the range is there.",
    503: "The node cannot answer that now; ask again later.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route, for its description.

    Args:
        statuses: HTTP statuses it may answer with besides those every route may.
    """
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _WHY[status], "content": content} for status in statuses}


def answers(media_type: str, description: str, *others: str) -> dict[int | str, dict[str, Any]]:
    """An answer that is no JSON, for a route's description.

    Args:
        media_type: What the bytes are.
        description: What they say.
        others: Further media types, where the caller chooses.
    """
    return {
        200: {"description": description, "content": {kind: {"schema": _bytes(kind)} for kind in (media_type, *others)}}
    }


def taken(media_type: str, description: str) -> dict[str, Any]:
    """A body that is read by itself, for a route's description.

    Args:
        media_type: What the bytes are.
        description: What they say.
    """
    content = {media_type: {"schema": _bytes(media_type)}}
    return {"requestBody": {"description": description, "required": True, "content": content}}


def _bytes(media_type: str) -> dict[str, str]:
    if media_type.endswith("json"):
        return {"type": "object"}
    return {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}


async def once_each(request: Request) -> None:
    """That no parameter of the query is given twice: which one counts would be anybody's guess.

    Raises:
        HTTPException: 400 where one is.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) > len(set(names)):
        raise HTTPException(400, "query: a parameter is given more than once")


def found_round(service: Service, number: int) -> RoundView:
    """A round of the chain.

    Raises:
        HTTPException: 404 where there is none with this number.
    """
    row = service.view.rounds.get(number)
    if row is None:
        raise HTTPException(404, f"there is no round {number}")
    return row


def found_model(service: Service, text: str) -> ModelView:
    """A model of the lineage.

    Raises:
        BadInput: The text is no digest.
        HTTPException: 404 where the chain records no such model.
    """
    found = service.view.models.get(digest(text))
    if found is None:
        raise HTTPException(404, f"model {text[:80]} is not in the lineage")
    return found
