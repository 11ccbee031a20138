"""A model asked about an image over the API: a real process, a real model of a round, hostile files."""

import base64
import io
import os
import signal
import struct
import threading
import time
import zlib
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.api.app import create_app
from node.api.routes import predict as route
from node.config import Data, Predict
from node.daemon.inference import Inference
from node.errors import WorkerBusy
from node.images.dataset import save
from node.images.phantom import draw
from node.images.slices import square
from node.learning.inference import Asked
from node.learning.modelfile import parse_model
from node.learning.segmentation.file import digest_of
from node.learning.segmentation.lungs import Lungs
from node.rounds.steps.models import load_model
from node.work.questions import Question
from tests.api.access.support import bearer
from tests.images.test_scans import steps, write_dicom
from tests.lungs import lungs_file


@pytest.fixture(scope="module")
def asked(service, net):
    """The node with its keys and a process to ask."""
    config = service.config.model_copy(update={"predict": Predict(queue=2, timeout_seconds=30)})
    data = service.home.root / "data"
    data.mkdir(exist_ok=True)
    save(net.parts[0], data / "validation.npz")
    inference = Inference(service.home, config)
    keys = net.nodes[0].ports.keys
    keeper = SimpleNamespace(keys=lambda epoch: keys if epoch == keys.epoch else None)
    yield SimpleNamespace(**vars(service) | {"inference": inference, "keeper": keeper})
    inference.stop()


@pytest.fixture(scope="module")
def client(asked):
    return TestClient(create_app(asked), raise_server_exceptions=False, headers=bearer(asked.access))


@pytest.fixture(scope="module")
def model(asked):
    return next(m.model.hex() for m in asked.view.models.values() if m.round == 1)


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture():
    return draw(4, 64, seed=3).dataset.images[0]


def test_the_answer_is_the_models(client, model, net, picture):
    found = client.post(f"/v1/models/{model}/predict", content=png(picture), headers={"Content-Type": "image/png"})
    assert found.status_code == 200
    told = found.json()
    plan = net.plan
    here = Asked(
        load_model(net.nodes[0].ports, bytes.fromhex(model)), plan.architecture, len(plan.classes), plan.image_size
    )
    expected = here.probabilities(square(picture)[None])[0]
    np.testing.assert_allclose([each["probability"] for each in told["probabilities"]], expected, atol=1e-6)
    assert told["classes"] == list(plan.classes)
    assert told["label"] == plan.classes[int(expected.argmax())] == told["slices"][0]["label"]
    assert (told["round"], told["model"]) == (1, model)
    assert told["calibration"]["images"] == len(net.parts[0])
    assert len(told["thresholds"]) == len(plan.classes)
    above = [p >= t for p, t in zip(expected, told["thresholds"], strict=True)]
    assert told["slices"][0]["above"] == above
    assert told["slices"][0]["cropped"] is False
    assert "not a medical device" in told["notice"]
    sizes = {
        Image.open(io.BytesIO(base64.b64decode(told["slices"][0]["saliency"][name]))).size
        for name in ("image", "overlay")
    }
    assert sizes == {(512, 512)}


@pytest.fixture(scope="module")
def network(tmp_path_factory, worker_id):
    return lungs_file(tmp_path_factory, worker_id)


@pytest.mark.parametrize("part", ["cropped", "left"])
def test_slices_are_cropped_as_the_plan_says(asked, model, net, picture, network, monkeypatch, part):
    """By the route, the daemon and its process, with the network that `[data] lungs` names."""
    shown = square(picture) if part == "cropped" else np.full((128, 128), 250, np.uint8)
    digest = digest_of(network.read_bytes())
    monkeypatch.setattr(route, "_plan", lambda *_: net.plan.model_copy(update={"crop_lungs": digest}))
    config = asked.config.model_copy(update={"data": Data(lungs=str(network)), "predict": Predict(queue=2)})
    inference = Inference(asked.home, config)
    client = TestClient(
        create_app(SimpleNamespace(**vars(asked) | {"inference": inference})), headers=bearer(asked.access)
    )
    told = client.post(f"/v1/models/{model}/predict", content=png(shown)).json()
    inference.stop()
    seen, cut = Lungs.read(network).cut(shown[None])
    assert cut.tolist() == [told["slices"][0]["cropped"]] == [part == "cropped"]
    vector = load_model(net.nodes[0].ports, bytes.fromhex(model))
    expected = Asked(vector, net.plan.architecture, len(net.plan.classes), net.plan.image_size)
    np.testing.assert_allclose(told["slices"][0]["probabilities"], expected.probabilities(seen)[0], atol=1e-6)
    drawn = expected.pictures(seen[0])
    assert base64.b64decode(told["slices"][0]["saliency"]["image"]) == drawn.image
    assert told["thresholds"] is None  # its own validation images are not cropped: they say nothing of such slices


@pytest.mark.parametrize(
    ("lungs", "says"),
    [("", "names no file of that network"), ("lungs.bin", "[data] lungs is "), ("absent.bin", "cannot be read")],
)
def test_without_the_plans_lung_network_nothing_is_answered(
    asked, client, model, net, picture, network, monkeypatch, lungs, says
):
    monkeypatch.setattr(route, "_plan", lambda *_: net.plan.model_copy(update={"crop_lungs": "5e" * 32}))
    data = Data(lungs=str(network.with_name(lungs)) if lungs else "")
    inference = Inference(asked.home, asked.config.model_copy(update={"data": data}))
    monkeypatch.setattr(asked, "inference", inference)
    found = client.post(f"/v1/models/{model}/predict", content=png(picture))
    inference.stop()
    assert found.status_code == 503
    assert says in found.json()["detail"]


def test_saliency_may_be_left_out_or_be_of_another_class(client, model, picture):
    url = f"/v1/models/{model}/predict"
    assert client.post(url, content=png(picture), params={"saliency": False}).json()["slices"][0]["saliency"] is None
    assert client.post(url, content=png(picture), params={"target": 1}).json()["slices"][0]["saliency"]["class"] == 1
    refused = client.post(url, content=png(picture), params={"target": 60})
    assert (refused.status_code, "target" in refused.json()["detail"]) == (400, True)


def test_a_dicom_file_of_many_frames_and_nothing_of_its_patient(client, model, tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    volume = np.stack([steps()] * 10)
    data = write_dicom(tmp_path / "a.dcm", volume, patient="MRN-4711").read_bytes()
    found = client.post(f"/v1/models/{model}/predict", content=data, params={"window": "mediastinum"})
    assert found.status_code == 200, found.text
    told = found.json()
    assert len(told["slices"]) == 10
    assert [each["saliency"] is not None for each in told["slices"]] == [True] * 8 + [False] * 2
    cut = client.post(f"/v1/models/{model}/predict", content=data[:700])
    assert cut.status_code == 422
    said = found.text + cut.text + caplog.text + "".join(capfd.readouterr())
    assert "4711" not in said
    assert "Jane" not in said


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def bomb(width, height):
    """A PNG of a few bytes that claims to be large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def deflated(tmp_path):
    file = write_dicom(tmp_path / "z.dcm", steps())
    import pydicom

    header = pydicom.dcmread(file)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(file)
    return file.read_bytes()


def test_hostile_files_are_refused_and_the_next_is_answered(client, asked, model, picture, tmp_path):
    url, process = f"/v1/models/{model}/predict", asked.inference.pid
    for status, data, says in [
        (415, b"", "neither"),
        (415, b"GIF89a" + bytes(100), "neither"),
        (422, bomb(60_000, 60_000), "no readable png image (DecompressionBombError)"),
        (422, bomb(5_000, 5_000), "at most 16000000"),
        (422, bomb(64, 64), "no readable png"),
        (422, png(picture)[:-40], "no readable png"),
        (422, b"\xff\xd8\xff" + bytes(64), "no readable jpeg"),
        (422, bytes(128) + b"DICM" + b"\xff" * 200, "no picture"),
        (422, deflated(tmp_path), "compressed"),
        (422, npy(np.zeros((2, 2, 2, 2))), "no image"),
        (422, npy(np.array([[object()]])), "no image"),
        (422, npy(np.full((32, 32), np.nan)), "finite"),
        (422, npy(np.zeros((65, 8, 8))), "65 frames"),
        (422, npy(np.zeros((32, 32)))[:-1], "its shape needs"),
        (
            422,
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999, 99999), }" + b" " * 40,
            "",
        ),
    ]:
        found = client.post(url, content=data)
        assert found.status_code == status, (says, found.text)
        assert says in found.json()["detail"], found.text
    assert client.post(url, content=npy(picture)).status_code == 200
    assert asked.inference.pid == process, "no file cost the process"


def test_what_is_named_wrongly(client, model, picture):
    assert client.post(f"/v1/models/{'0' * 64}/predict", content=png(picture)).status_code == 404
    assert client.post("/v1/models/nonsense/predict", content=png(picture)).status_code == 400
    refused = client.post(f"/v1/models/{model}/predict", content=png(picture), params={"window": "1,2,3"})
    assert refused.status_code == 400


def test_a_model_that_is_not_held_here(asked, model, picture):
    elsewhere = SimpleNamespace(**vars(asked) | {"keeper": SimpleNamespace(keys=lambda _: None)})
    asked.inference._worker.end()  # a fresh process holds no model
    client = TestClient(create_app(elsewhere), headers=bearer(asked.access))
    assert client.post(f"/v1/models/{model}/predict", content=png(picture)).status_code == 404


def test_a_busy_or_lost_process_says_come_again(client, asked, model, picture):
    url = f"/v1/models/{model}/predict"
    assert client.post(url, content=png(picture)).status_code == 200
    process = psutil.Process(asked.inference.pid)
    process.suspend()
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(client.post(url, content=png(picture)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while asked.inference._line._value:
        time.sleep(0.01)
    full = client.post(url, content=png(picture))
    assert (full.status_code, full.headers["Retry-After"]) == (503, "2")
    os.kill(process.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert sorted(each.status_code for each in codes) == [200, 503], "the one lost with the process, the next answered"
    assert "Retry-After" in next(each for each in codes if each.status_code == 503).headers


def test_the_process_ends_when_nobody_asks(asked, service):
    config = service.config.model_copy(update={"predict": Predict(idle_seconds=1)})
    inference = Inference(service.home, config)
    inference._worker.start()
    inference._worker.check()
    inference.rest()
    assert inference.pid is not None
    inference._worker.used -= 2
    inference.rest()
    assert inference.pid is None
    inference.stop()


def test_an_image_that_takes_too_long_is_given_up(asked, service, net, picture):
    config = service.config.model_copy(update={"predict": Predict(timeout_seconds=1)})
    inference = Inference(service.home, config)
    inference._worker.start()
    inference._worker.check()
    os.kill(inference.pid, signal.SIGSTOP)
    question = Question(
        model=bytes(32),
        architecture=net.plan.architecture,
        classes=net.plan.classes,
        image_size=net.plan.image_size,
        image=png(picture),
        vector=lambda: parse_model(b"").vector,
    )
    started = time.monotonic()
    with pytest.raises(Exception, match="said nothing for 1 s"):
        inference.ask(question)
    assert time.monotonic() - started < 5
    inference.stop()
    with pytest.raises(Exception, match="stopping"):
        inference.ask(question)
    assert isinstance(WorkerBusy("x"), Exception)
