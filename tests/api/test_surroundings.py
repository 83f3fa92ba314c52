"""What the environment says."""

import stat

import pytest

from hpo import own_files
from hpo.api.surroundings import cache_folder, data_cache_folder, data_home
from hpo.errors import HpoError


def test_data_lie_where_hpo_data_says_or_in_the_users_folder(tmp_path):
    assert data_home({"HPO_DATA": "/data", "HOME": "/home/me"}) == tmp_path.__class__("/data")
    assert str(data_home({"HOME": "/home/me"})) == "/home/me/.local/share/hpo/data"
    assert str(data_home({"HOME": "/home/me", "XDG_DATA_HOME": "/x"})) == "/x/hpo/data"
    assert str(data_home({"HOME": "/home/me", "XDG_DATA_HOME": "x"})).startswith("/home/me/")


def test_the_cache_folder_is_created(tmp_path):
    assert cache_folder({"HPO_CACHE": str(tmp_path / "a")}) == tmp_path / "a"
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "hpo" / "xla"
    assert cache_folder({"HOME": str(tmp_path)}) == tmp_path / ".cache" / "hpo" / "xla"
    assert (tmp_path / ".cache" / "hpo" / "xla").is_dir()


def test_without_a_home_that_can_be_written_there_is_no_cache(tmp_path):
    (tmp_path / "file").touch()
    assert cache_folder({"HOME": str(tmp_path / "file")}) is None


def test_a_named_cache_folder_that_cannot_be_made_or_entered_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(own_files, "_said", said := set())
    (tmp_path / "file").touch()
    for named in (
        tmp_path / "file" / "x",
        tmp_path / "file",
        tmp_path / ("x" * 6_000),
        "~nobody9/x",
    ):
        said.clear()
        assert cache_folder({"HPO_CACHE": str(named)}) is None
        assert len(said) == 1
    assert data_cache_folder({"HPO_CACHE": "~nobody9/x"}) is None
    assert len(said) == 1


def test_a_cache_of_the_user_that_others_may_write_is_closed_to_them(tmp_path):
    folder = tmp_path / "hpo" / "xla"
    folder.mkdir(parents=True)
    for open_to_others in (folder, folder.parent):
        open_to_others.chmod(0o777)
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == folder
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)] == [0o700] * 2


def test_a_folder_of_data_in_the_home_of_no_user_is_refused():
    with pytest.raises(HpoError, match="HPO_DATA: ~nobody9/data: no such user has a home"):
        data_home({"HPO_DATA": "~nobody9/data"})


def test_a_folder_of_data_that_no_folder_can_be_is_refused(tmp_path):
    with pytest.raises(HpoError, match=r"^HPO_DATA: q+\.\.\.: File name too long: name another"):
        data_home({"HPO_DATA": "q" * 6000})
    assert data_home({"HPO_DATA": str(tmp_path / "later")}) == tmp_path / "later"


def test_preprocessed_data_sets_lie_beside_compiled_programs(tmp_path):
    folder = str(tmp_path)
    assert data_cache_folder({"HPO_CACHE": folder, "HOME": "/home/me"}) == tmp_path / "data"
    assert data_cache_folder({"XDG_CACHE_HOME": folder}) == tmp_path / "hpo" / "data"
    assert data_cache_folder({"HOME": folder}) == tmp_path / ".cache" / "hpo" / "data"
    assert list(tmp_path.iterdir()) == []
