import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align import UsageError
from align.inputs import PathList, Picture, list_pictures, name_pictures


def _touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def _listed(*paths: str, out: str = "out", piped: PathList | None = None) -> list[str]:
    return [str(picture.path) for picture in list_pictures(paths, Path(out), piped)[0]]


def _pipe(content: bytes, *, null: bool = False) -> PathList:
    return PathList(io.BytesIO(content), null=null)


def test_a_folder_is_read_to_its_depth_in_natural_order_and_only_its_pictures() -> None:
    _touch("p/img10.jpg", "p/img2.JPG", "p/notes.txt", "p/b/1.png", "p/a10/1.png", "p/a9/x.tif", "p/B2.webp")
    assert _listed("p") == ["p/a9/x.tif", "p/a10/1.png", "p/b/1.png", "p/B2.webp", "p/img2.JPG", "p/img10.jpg"]


def test_arguments_keep_their_order_and_each_picture_comes_once() -> None:
    _touch("p/b.png", "p/a.png", "z.png", "q/c.png")
    Path("link").symlink_to("p", target_is_directory=True)
    wanted = ["z.png", "p/b.png", "p/a.png", "q/c.png"]
    assert _listed("z.png", "p/b.png", "./p", "link", str(Path("p/a.png").absolute()), "q", "p/../q/c.png") == wanted


def test_two_links_to_one_file_are_two_pictures() -> None:
    _touch("p/a.png")
    Path("p/b.png").symlink_to("a.png")
    assert _listed("p") == ["p/a.png", "p/b.png"]


def test_a_named_file_is_taken_whatever_its_suffix() -> None:
    _touch("scan.dat")
    assert _listed("scan.dat") == ["scan.dat"]


def test_linked_folders_are_followed_and_loops_end() -> None:
    _touch("p/a.png", "elsewhere/b.png")
    for name, target in (("p/up", ".."), ("p/self", "."), ("p/again", "."), ("p/other", "../elsewhere")):
        Path(name).symlink_to(target, target_is_directory=True)
    Path("p/loop.png").symlink_to("loop.png")
    assert _listed("p") == ["p/a.png", "p/loop.png", "p/other/b.png"]
    assert _listed("p/**/*.png") == ["p/a.png", "p/loop.png"]


def test_links_to_nothing_are_listed_so_that_they_are_recorded() -> None:
    _touch("p/a.png")
    Path("p/gone.png").symlink_to("nowhere.png")
    assert _listed("p") == ["p/a.png", "p/gone.png"]


def test_a_folder_with_the_name_of_a_picture_is_a_folder() -> None:
    _touch("p/x.jpg/a.png")
    assert _listed("p") == _listed("p/x.jpg") == ["p/x.jpg/a.png"]


def test_what_lies_in_out_is_never_read() -> None:
    _touch("p/a.png", "p/out/crop.png", "p/out/deep/crop.png")
    Path("p/link").symlink_to("out", target_is_directory=True)
    pictures, skipped = list_pictures(["p", "p/out/crop.png", "p/out", "p/**/*.png"], Path("p/out"))
    assert [str(picture.path) for picture in pictures] == ["p/a.png"]
    assert skipped >= 4
    with pytest.raises(UsageError, match=r"all paths lie in p/out, which is never read"):
        list_pictures(["p/out/crop.png"], Path("p/out"))
    _touch("p/outside.png")
    assert _listed("p", out="p/out") == ["p/a.png", "p/outside.png"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("p/*.jpg", ["p/1.jpg", "p/10.jpg"]),
        ("p/**/*.jpg", ["p/1.jpg", "p/10.jpg", "p/q/2.jpg", "p/q/r/3.jpg"]),
        ("**/[23].jpg", ["p/q/2.jpg", "p/q/r/3.jpg"]),
        ("p/*", ["p/1.jpg", "p/10.jpg", "p/q/2.jpg", "p/q/r/3.jpg"]),
        ("p/**", ["p/1.jpg", "p/10.jpg", "p/q/2.jpg", "p/q/r/3.jpg"]),
        ("p/n?tes.txt", ["p/notes.txt"]),
        ("p/q*", ["p/q/2.jpg", "p/q/r/3.jpg"]),
    ],
)
def test_globs(pattern: str, wanted: list[str]) -> None:
    _touch("p/1.jpg", "p/10.jpg", "p/notes.txt", "p/q/2.jpg", "p/q/r/3.jpg")
    absolute = _listed(str(Path.cwd() / pattern))
    assert _listed(pattern) == wanted
    assert absolute == [str(Path.cwd() / name) for name in wanted]


def test_a_file_with_brackets_in_its_name_is_that_file() -> None:
    _touch("a[1].png", "a1.png")
    assert _listed("a[1].png") == ["a[1].png"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("gone.jpg", "gone.jpg: expected a picture or a folder (no such file)"),
        ("empty", "empty: expected a folder with pictures (found none)"),
        ("*.jpg", "*.jpg: expected a pattern that matches pictures (matches none)"),
        ("**.jpg/*", "**.jpg/*: expected a pattern"),
        ("new\nline*.jpg", r"new\nline*.jpg: expected a pattern that matches"),
        ("loop", "loop: expected a picture or a folder (Too many levels of symbolic links)"),
        ("x" * 300, "expected a picture or a folder (File name too long)"),
    ],
)
def test_what_cannot_be_listed_is_one_sentence(path: str, sentence: str) -> None:
    Path("empty").mkdir()
    Path("loop").symlink_to("loop")
    with pytest.raises(UsageError) as caught:
        _listed(path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_named_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"expected the paths of pictures \(found none\)"):
        _listed()
    with pytest.raises(UsageError, match=r"expected the paths of pictures \(found none\)"):
        _listed("-", piped=_pipe(b"\n\n"))


def test_a_piped_list_names_files_and_folders_and_what_is_gone() -> None:
    _touch("a b.png", "p/c.png", "z.png")
    lines = b"a b.png\r\n\np\ngone.png\n" + b"x" * 300 + b"\nz.png"
    assert _listed("z.png", "-", piped=_pipe(lines)) == ["z.png", "a b.png", "p/c.png", "gone.png", "x" * 300]


def test_a_piped_list_ends_its_paths_with_nul_where_that_is_said() -> None:
    _touch("two\nlines.png", "back\r")
    content = b"two\nlines.png\0back\r\0"
    assert _listed("-", piped=_pipe(content, null=True)) == ["two\nlines.png", "back\r"]
    with pytest.raises(UsageError, match="add --null"):
        _listed("-", piped=_pipe(content))


def test_names_that_are_not_utf8_are_listed() -> None:
    name = os.fsdecode(b"p/caf\xe9.png")
    _touch(name)
    assert _listed("p") == _listed(name) == _listed("-", piped=_pipe(os.fsencode(name))) == [name]


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("photo.jpg", "photo-"),
        ("-rf.jpg", "rf-"),
        (".hidden.jpg", "hidden-"),
        ("...", "picture-"),
        ("con.x.png", "con_x-"),
        ("two\nlines.png", "two_nlines-"),
        ("żółw 東京.png", "żółw_東京-"),
        (os.fsdecode(b"caf\xe9.png"), "caf_xe9-"),
        ("x" * 255, "x" * 40 + "-"),
        ("a:b*c?.png", "a_b_c_-"),
    ],
)
def test_names_of_crops_stay_readable_and_safe(path: str, begin: str) -> None:
    (picture,) = name_pictures([Path(path)])
    assert picture.name.startswith(begin)
    assert len(picture.name) == len(begin) + 16


_NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(st.lists(_NAMES, max_size=20, unique=True))
def test_no_two_pictures_have_one_name_and_every_name_is_safe(names: list[str]) -> None:
    paths = list(dict.fromkeys(Path(name) for name in names))
    pictures = name_pictures(paths)
    assert [picture.path for picture in pictures] == paths
    assert len({picture.name.casefold() for picture in pictures}) == len(paths)
    for picture in pictures:
        assert len(os.fsencode(picture.name)) <= 230
        assert not set(picture.name) & set('\\/:*?"<>|. \n\t')
        assert picture.name.isprintable()
        assert not picture.name.startswith("-")


def test_names_that_differ_only_in_case_and_digests_that_collide_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align.inputs.DIGEST_BYTES", 1)
    paths = [Path(folder) / name for folder in map(str, range(60)) for name in ("Photo.png", "photo.png")]
    pictures = name_pictures(paths)
    assert len({picture.name.casefold() for picture in pictures}) == len(paths)
    assert pictures == name_pictures(paths)
    assert isinstance(pictures[0], Picture)
