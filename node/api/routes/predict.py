"""Asking a model about an image: the file comes as the body, whatever its Content-Type; its kind is found from its bytes.

The file is decoded in a process that holds no key. Nothing of it is kept, logged or given back but the picture that the
model saw.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from node.api.asked import found_model, problems
from node.api.opened import opened
from node.api.shapes_predict import PredictionShape
from node.errors import WorkProblem
from node.images.errors import BadWindow, Unusable
from node.images.upload import kind_of
from node.learning.errors import BadSettings, LearningError
from node.learning.modelfile import parse_model
from node.rounds.plan import Plan
from node.storage import raw_cid
from node.work.questions import Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from node.api.service import Service
    from node.consortium.records import ModelView

RETRY_SECONDS = 2
PATIENCE = {"Retry-After": str(RETRY_SECONDS)}
BODY = {
    "requestBody": {
        "required": True,
        "description": "A PNG, JPEG, DICOM or npy file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

Window = Annotated[str, Query(max_length=40, description="lung, mediastinum or LEVEL,WIDTH for DICOM and npy files.")]
Target = Annotated[
    int | None, Query(ge=0, lt=64, description="Class whose saliency is drawn; the likeliest if left out.")
]
Saliency = Annotated[bool, Query(description="Whether to draw where the model looked.")]


def router(service: Service) -> APIRouter:
    """The route over a node."""
    routes = APIRouter(tags=["models"])

    @routes.post(
        "/models/{model}/predict",
        summary="Ask a model about an image",
        response_model=PredictionShape,
        responses=problems(400, 404, 413, 415, 422, 503),
        openapi_extra=BODY,
    )
    async def predict(
        request: Request, model: str, window: Window = "", target: Target = None, saliency: Saliency = True
    ) -> Response:
        image = await request.body()
        if kind_of(image) is None:
            raise HTTPException(415, "the body is neither a PNG, JPEG, DICOM nor npy file")
        shape = await run_in_threadpool(_predict, service, model, image, window, target, saliency=saliency)
        return Response(shape.model_dump_json(by_alias=True), media_type="application/json")

    return routes


def _predict(
    service: Service, text: str, image: bytes, window: str, target: int | None, *, saliency: bool
) -> PredictionShape:
    started = time.monotonic()
    model = found_model(service, text)
    plan = _plan(service, model)

    def vector() -> NDArray[np.float32]:
        return parse_model(opened(service, model.model)).vector

    question = Question(
        model=model.model,
        architecture=plan.architecture,
        classes=plan.classes,
        image_size=plan.image_size,
        crop_lungs=plan.crop_lungs,
        image=image,
        vector=vector,
        window=window,
        target=target,
        saliency=saliency,
    )
    try:
        answer = service.inference.ask(question)
    except BadWindow as error:
        raise HTTPException(400, str(error)) from None
    except BadSettings as error:
        raise HTTPException(400, f"target: {error}") from None
    except Unusable as error:
        raise HTTPException(422, f"the image cannot be used: {error}") from None
    except WorkProblem as error:
        raise HTTPException(503, str(error), PATIENCE) from None
    except LearningError as error:
        raise HTTPException(503, f"model {text[:16]}… cannot be asked here: {error}") from None
    return PredictionShape.of(question, answer, model.round, time.monotonic() - started)


def _plan(service: Service, model: ModelView) -> Plan:
    """The plan of the round that made a model; of the first that trains from it for a genesis model.

    Raises:
        HTTPException: 404 where no round tells how the model is to be asked.
    """
    rounds = service.view.rounds
    row = rounds.get(model.round) or next((r for _, r in sorted(rounds.items()) if r.base == model.model), None)
    if row is None:
        raise HTTPException(404, f"no round says yet how model {model.model.hex()[:16]}… is to be asked")
    return Plan.from_bytes(service.store.get(raw_cid(row.plan)))
