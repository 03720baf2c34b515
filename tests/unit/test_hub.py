"""`weights: hub`: cache first, one download from a Hub on loopback, and sentences where there is none."""

import hashlib
import http.server
import subprocess
import sys
import threading

import pytest
import timm
import torch
from conftest import ROOT
from safetensors.torch import save

from tag2mask.errors import UserError
from tag2mask.learn import backbone
from tag2mask.run import recipes
from tag2mask.run.plan import Plan
from tag2mask.store import hub

NAME = "timm/test_resnet.r160_in1k"
COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of a machine that is offline."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.pinned.cache_clear()
    yield tmp_path
    hub.pinned.cache_clear()


def put(cache, content, *, name=NAME, commit=COMMIT):
    """Lay `content` into the cache as the Hub's client does, as what main is; the path of the blob."""
    folder = cache / f"models--{name.replace('/', '--')}"
    for part in ("refs", "blobs", f"snapshots/{commit}"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit / hub.FILE).symlink_to(blob)
    hub.pinned.cache_clear()
    return blob


def test_which_weights_a_name_means():
    assert [hub.source("hub", name)[0] for name in ("resnet50", "R-50", "vgg16", "hrnet_w48")] == [
        "timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k", "timm/vgg16.tv_in1k", "timm/hrnet_w48.ms_in1k",
    ]  # fmt: skip
    assert hub.source("hub", "vit_small_patch14_dinov2") == ("timm/vit_small_patch14_dinov2.lvd142m", "main")
    assert hub.source("hub", "resnet50.a1_in1k") == ("timm/resnet50.a1_in1k", "main")
    assert hub.source(f"hub:{NAME}@{COMMIT}", "anything") == (NAME, COMMIT)
    assert all(timm.is_model(name) and name in timm.list_pretrained() for name in hub.PAPERS.values())
    with pytest.raises(UserError, match="which weights of efficientnet_lite0 are meant: name the backbone with timm's"):
        hub.source("hub", "efficientnet_lite0")
    with pytest.raises(UserError, match="hub:resnet50 is not hub:<repository>@<revision>"):
        hub.source("hub:resnet50", "resnet50")


def test_a_backbone_with_weights_of_the_cache(cache):
    torch.manual_seed(3)
    state = timm.create_model("test_resnet").state_dict()
    put(cache, save(state))
    for weights in ("hub", f"hub:{NAME}@{COMMIT}"):
        net = backbone.create("test_resnet.r160_in1k", weights)
        assert torch.equal(net.net.state_dict()["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])
    assert net.mean == (0.5, 0.5, 0.5)
    with pytest.raises(UserError, match=f"{NAME}@{COMMIT} are not those of the backbone 'test_efficientnet'"):
        backbone.create("test_efficientnet", f"hub:{NAME}@{COMMIT}")


def test_a_file_that_is_not_the_hub_s_is_refused(cache):
    blob = put(cache, b"what the Hub sent")
    assert hub.fetched("hub", "test_resnet.r160_in1k").resolve() == blob
    blob.write_bytes(b"what the Hub sen")
    with pytest.raises(UserError, match=rf"{blob.name} are damaged, their SHA-256 is not their name: delete them"):
        hub.fetched("hub", "test_resnet.r160_in1k")


@pytest.mark.parametrize("weights", ["hub", f"hub:timm/resnet50.tv_in1k@{COMMIT}"])
def test_offline_is_one_sentence(cache, weights):
    for ask in (hub.pinned, hub.fetched):
        with pytest.raises(
            UserError, match=rf"timm/resnet50\.tv_in1k are not in the cache \({cache}\), and the Hub cannot be "
            "reached.*run once online, or set `weights` to a local file",
        ):  # fmt: skip
            ask(weights, "resnet50")


def plan(**classifier):
    keys = {"backbone": "test_resnet.r160_in1k", "weights": "hub", **classifier}
    stages = {"cam": {"default": {}}, "transfer": {"default": {}}, "semantic": {"default": {}}}
    dataset = {"kind": "scenes", "root": "scenes"}
    return Plan.load(
        {"dataset": dataset, "variants": stages, "recipes": {"transfer": {"transfer": "default"}},
         "show": ["transfer"], "train": [], "classifier": keys}
    )  # fmt: skip


def test_a_plan_says_at_once_that_they_cannot_be_had(cache):
    with pytest.raises(UserError, match=rf"^classifier\.weights \(default\): .*{NAME} are not in the cache"):
        plan().look_outside()
    plan(weights="none").look_outside()


def test_a_plan_names_the_revision_and_sees_a_change(cache):
    put(cache, b"first")
    found = plan()
    found.look_outside()
    section = found.section("classifier", function="train")
    assert section["config"]["weights"] == f"hub:{NAME}@{COMMIT}"
    assert found.outside("classifier") == {}
    assert recipes.extras(found, "transfer") == ["weights test_resnet.r160_in1k (trained on ImageNet)"]
    put(cache, b"second", commit=OTHER)
    changed = plan().section("classifier", function="train")
    assert changed["config"].pop("weights") == f"hub:{NAME}@{OTHER}"
    assert section["config"].pop("weights") and changed == section
    pinned = plan(weights=f"hub:{NAME}@{COMMIT}")  # as a manifest has it: stays, whatever main is
    assert pinned.section("classifier", function="train")["config"]["weights"] == f"hub:{NAME}@{COMMIT}"


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does for one large file: `content` at the commit that is main."""

    content = b"tensors" * 1000
    asked: list = []  # noqa: RUF012  of all its instances

    def do_HEAD(self):
        if "/resolve/" in self.path:
            self.asked.append(self.command)
        known = self.path in [f"/{NAME}/resolve/{revision}/{hub.FILE}" for revision in ("main", COMMIT)]
        self.send_response(200 if known else 404)
        if known:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(self.content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(self.content)))
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def online(tmp_path):
    """A function: code, run in a new Python whose Hub is here -> what it prints; `close` takes the Hub away."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Hub.asked.clear()
    environment = {
        "HF_HOME": str(tmp_path), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "PATH": "/usr/bin:/bin",
    }  # fmt: skip

    def run(code):
        code = f"from tag2mask.store import hub\nfrom tag2mask.errors import UserError\n{code}"
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    def close():
        server.shutdown()
        server.server_close()
        thread.join()

    run.close = close
    yield run
    close()


def test_one_download_and_then_the_cache_alone(online):
    ask = 'print(hub.pinned("hub", "test_resnet.r160_in1k"))'
    assert online(ask).strip() == f"hub:{NAME}@{COMMIT}"
    assert Hub.asked == ["HEAD"]  # a plan downloads nothing
    fetch = f'print(hub.fetched("hub:{NAME}@{COMMIT}", "test_resnet.r160_in1k").read_bytes() == b"tensors" * 1000)'
    assert online(fetch).strip() == "True"
    assert Hub.asked.count("GET") == 1
    absent = 'try: hub.pinned("hub", "resnet50.typo")\nexcept UserError as error: print(error)'
    assert "does not give model.safetensors of timm/resnet50.typo at main (status 404): check the" in online(absent)
    online.close()
    assert online(ask).strip() == f"hub:{NAME}@{COMMIT}" and online(fetch).strip() == "True"


def test_a_download_that_breaks_off_is_one_sentence(online):
    broken = f"""import huggingface_hub
def broken(*_, **__):
    raise OSError(28, "No space left on device")
huggingface_hub.hf_hub_download = broken
try: hub.fetched("hub:{NAME}@{COMMIT}", "test_resnet.r160_in1k")
except UserError as error: print(error)"""
    found = online(broken).strip()
    assert found.startswith(f"The download of the weights {NAME} broke off ([Errno 28]") and "\n" not in found
