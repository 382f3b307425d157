"""The helper applies the configuration. If it cannot, it refuses every request."""

import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gws
import pytest
from test_defects import idle, names
from test_upload_helper import PARTS, WHOLE, content, refused, request, send

from conftest import DOCUMENT, configure, make, uh

DAY = 86400


def refuses_everything(helper: Any, reason: str) -> None:
    uid = "0" * 32
    assert reason in refused(helper, request(0))
    assert reason in refused(helper, request(0, uid))
    with pytest.raises(uh.Error, match=reason):
        helper.get_upload(uid)


WRONG = [
    ("durability", "completed"),
    ("maxSize", -1),
    ("maxSize", 2**70),
    ("maxChunks", -1),
    ("maxStoreSize", -1),
    ("minFreeSpace", 2**63),
    ("maxAge", -1),
    ("maxAge", True),
    ("bindToUser", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_closes_the_helper(root: Path, logged: list[str], name: str, value: Any) -> None:
    app = configure({"maxSize": 10, "bindToUser": True, name: value})
    assert [name in error.message for error in app.root.configErrors] == [True]
    logged.clear()
    refuses_everything(app.helper("upload"), name)
    assert len(logged) == 1 and name in logged[0]
    assert names(root) == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_the_helper_that_replaces_a_failed_one_is_closed_too(root: Path, name: str, value: Any) -> None:
    app = configure({"maxSize": 10, "bindToUser": True, name: value})
    app._helperMap.clear()
    refuses_everything(app.helper("upload"), name)


def test_the_helper_that_replaces_another_has_its_limits(root: Path) -> None:
    app = configure({"maxSize": 10})
    app._helperMap.clear()
    assert "max_total_size" in refused(app.helper("upload"), request(0))
    assert names(root) == []


@pytest.mark.parametrize("option", [{"bindGuests": False}, {"bindStrict": True}])
def test_options_of_binding_need_binding(root: Path, option: dict[str, bool]) -> None:
    refuses_everything(make(**option), "bindToUser")
    assert not configure({"bindToUser": True, **option}).root.configErrors


def test_every_default_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: value for name, value in rows if name in uh._DEFAULTS}
    said = {"no limit": 0, "24h": DAY, "process": "process", "true": True, "false": False}
    assert {name: said[text] if text in said else int(text) for name, text in documented.items()} == uh._DEFAULTS


def test_two_configurations_are_none(root: Path) -> None:
    app = configure({"maxSize": 10}, {})
    assert app.root.configErrors
    refuses_everything(app.helper("upload"), "several")


def test_no_configuration_is_the_default(root: Path) -> None:
    app = configure()
    assert content(app.helper("upload").get_upload(send(app.helper("upload")))) == WHOLE


def test_a_store_that_is_refused_closes_the_helper_until_it_is_right(root: Path, logged: list[str]) -> None:
    root.mkdir(parents=True)
    root.chmod(0o777)
    app = configure({})
    assert len(app.root.configErrors) == 1
    logged.clear()
    refuses_everything(app.helper("upload"), str(root))
    assert len(logged) == 1
    root.chmod(0o755)
    assert content(app.helper("upload").get_upload(send(app.helper("upload")))) == WHOLE


def test_a_missing_package_is_one_line_a_minute(root: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "chunked_upload", None)
    app = configure({})
    reason = 'upload helper: the package "chunked_upload" is missing or broken'
    assert [error.message.startswith(reason) for error in app.root.configErrors] == [True]
    logged.clear()
    helper = app.helper("upload")
    refuses_everything(helper, reason)
    assert len(logged) == 1 and reason in logged[0]
    for later in (-61, 3600):  # a minute later, and after the clock was set back by an hour
        helper._complainedAt += later
        refuses_everything(helper, reason)
        refuses_everything(helper, reason)
    assert len(logged) == 3


def test_a_helper_that_the_stock_code_pickled_works(root: Path) -> None:
    """It has the attributes of every node, and none of this plugin."""
    helper = uh.Object()
    helper.root, helper.config = configure().root, gws.Config(type="upload")
    helper = pickle.loads(pickle.dumps(helper))
    assert content(helper.get_upload(send(helper))) == WHOLE


@pytest.mark.parametrize("age", [0, None])
def test_age_0_is_never(root: Path, age: int | None) -> None:
    helper = make(maxAge=age)
    uid = send(helper, [0])
    idle(root, uid, 100 * DAY if age == 0 else DAY - 60)
    helper._cleanedUp = 0
    send(helper, [0])
    helper.handle_chunk_request(None, request(1, uid))


def test_a_file_that_may_be_in_use_stays_longer(root: Path) -> None:
    helper = make(maxAge=60)
    unfinished, file = send(helper, [0]), send(helper)
    helper.get_upload(file)
    idle(root, unfinished, 65)
    for seconds, kept in ((65, True), (640, True), (700, False)):
        idle(root, file, seconds)
        helper._cleanedUp = 0
        send(helper, [0])
        assert (f"upload_{file}" in names(root)) is kept
    assert f"upload_{unfinished}" not in names(root)


def test_the_clock_may_be_set_back(root: Path) -> None:
    helper = make()
    uid = send(helper, [0])
    helper._cleanedUp += 30 * DAY
    idle(root, uid, 2 * DAY)
    send(helper, [0])
    assert f"upload_{uid}" not in names(root)


def test_what_an_action_leaves_beside_the_file_goes_with_it(root: Path) -> None:
    helper = make()
    old, new = send(helper), send(helper)
    for uid in (old, new):
        beside = Path(helper.get_upload(uid).path).parent / "unpacked"
        beside.mkdir()
        (beside / "a.shp").touch()
    os.unlink(helper.get_upload(new).path)
    (root / "upload_of_another_plugin").mkdir()
    os.utime(root / "upload_of_another_plugin", (0, 0))
    idle(root, old, 2 * DAY)
    helper._cleanedUp = 0
    fresh = send(helper, [0])
    assert names(root) == sorted([f"upload_{new}", f"upload_{fresh}", "upload_of_another_plugin"])
    assert (root / f"upload_{new}" / "unpacked" / "a.shp").exists()


def person(uid: str, guest: bool = False) -> Any:
    return SimpleNamespace(user=SimpleNamespace(uid=uid, isGuest=guest))


def test_strict_binding_finds_uploads_of_users_only_with_their_request(root: Path) -> None:
    ann, bob = person("ann"), person("bob")
    helper = make(bindToUser=True, bindStrict=True)
    hers, unbound = send(helper, req=ann), send(helper)
    for call in (lambda: helper.get_upload(hers), lambda: helper.get_upload(hers, bob)):
        with pytest.raises(uh.Error, match="not found"):
            call()
    assert content(helper.get_upload(hers, ann)) == content(helper.get_upload(unbound)) == WHOLE
    assert content(make(bindToUser=True).get_upload(hers)) == WHOLE, "without strict binding it is found"


def test_guests_are_one_user_or_refused(root: Path) -> None:
    guest, other = person("guest", guest=True), person("guest", guest=True)
    helper = make(bindToUser=True)
    assert content(helper.get_upload(send(helper, req=guest), other)) == WHOLE
    helper = make(bindToUser=True, bindGuests=False)
    before = names(root)
    for req in (guest, SimpleNamespace(user=None)):
        assert "guests" in refused(helper, request(0), req)
        with pytest.raises(uh.Error, match="guests"):
            helper.get_upload("0" * 32, req)
    assert names(root) == before
    assert send(helper, req=person("ann"))


@pytest.mark.parametrize("uid", ["", "x" * 2000, "\ud800"])
def test_a_user_that_cannot_own_is_refused(root: Path, uid: str) -> None:
    helper = make(bindToUser=True)
    assert "user" in refused(helper, request(0), person(uid))


def test_a_directory_that_cannot_be_made_is_a_refusal(helper: Any, root: Path) -> None:
    root.parent.touch()
    assert "IO error" in refused(helper, request(0))


def test_content_that_is_no_unicode_is_refused(helper: Any, root: Path) -> None:
    refused(helper, request(0, content="\ud800"))
    assert names(root) == []


def test_requests_of_older_actions_have_no_checksum(helper: Any) -> None:
    uid = ""
    for number in range(len(PARTS)):
        values = vars(request(number, uid))
        uid = helper.handle_chunk_request(None, SimpleNamespace(**values)).uploadUid
    assert content(helper.get_upload(uid)) == WHOLE


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for uploads that root and other users reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can begin an upload as root")
    base = Path(tempfile.mkdtemp(prefix="gws-shared-"))
    base.chmod(0o755)
    monkeypatch.setattr(gws.c, "EPHEMERAL_DIR", str(base / "ephemeral"))
    yield base
    shutil.rmtree(base)


def test_root_and_the_workers_share_an_upload(shared: Path) -> None:
    def as_worker(work: Any) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(gws.c.GID)
                os.setuid(gws.c.UID)
                work()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0

    helper = make(maxStoreSize=10**9)
    uid = send(helper, [1])
    target = shared / "of_root"
    target.touch()
    link = shared / "ephemeral" / f"upload_{uid}" / "link"
    as_worker(lambda: helper.handle_chunk_request(None, request(0, uid)))
    as_worker(lambda: link.symlink_to(target))
    helper.handle_chunk_request(None, request(2, uid))
    assert target.stat().st_uid == 0, "links are not followed"
    as_worker(lambda: link.unlink())
    assert content(helper.get_upload(uid)) == WHOLE
    as_worker(lambda: os.unlink(helper.get_upload(uid).path))
    as_worker(lambda: helper.get_upload(send(helper)))
