from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from genre.data.readers.paths import DataPath


class Section(BaseModel):
    file: DataPath


def test_relative_path_starts_at_the_folder_of_the_yaml_and_is_stored_absolute(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").touch()
    (tmp_path / "conf").mkdir()
    section = Section.model_validate({"file": "../clicks.csv"}, context={"folder": tmp_path / "conf"})
    assert section.file == tmp_path / "clicks.csv"
    assert Section.model_validate(section.model_dump(mode="json")) == section


def test_without_a_folder_it_starts_where_the_process_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clicks.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert Section.model_validate({"file": "clicks.csv"}).file == tmp_path / "clicks.csv"


def test_missing_file_is_named_with_the_closest(tmp_path: Path) -> None:
    (tmp_path / "events.csv").touch()
    with pytest.raises(ValidationError, match=r"there is no .*/event\.csv; is it events\.csv\?"):
        Section.model_validate({"file": "event.csv"}, context={"folder": tmp_path})


def test_missing_file_with_no_like_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    with pytest.raises(ValidationError, match=r"in that folder: photos\.zip\. A relative path starts at the YAML's folder"):
        Section.model_validate({"file": "x"}, context={"folder": tmp_path})


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=f"not even the folder {tmp_path}/data\\."):
        Section.model_validate({"file": "data/raw/x.csv"}, context={"folder": tmp_path})


def test_a_saved_configuration_may_outlive_its_files(tmp_path: Path) -> None:
    gone = tmp_path / "gone.csv"
    assert Section.model_validate({"file": gone}, context={"check_files": False}).file == gone
