"""The Hugging Face hub as a folder on this disk: nothing goes over a network."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest


class Hub:
    """What HfApi and snapshot_download do, on disk."""

    def __init__(self, folder):
        self.folder, self.kinds = folder, {}

    def create_repo(self, name, private, repo_type, exist_ok):
        self.kinds[name] = (repo_type, private)

    def upload_folder(self, folder_path, repo_id, repo_type, allow_patterns):
        from huggingface_hub.utils import filter_repo_objects

        files = [str(path.relative_to(folder_path)) for path in folder_path.rglob("*") if path.is_file()]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (self.folder / repo_id / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder_path / file, self.folder / repo_id / file)
        return f"hub/{repo_id}"

    def download(self, name, allow_patterns):
        return str(self.folder / name)


def fake_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Let huggingface_hub upload into `folder` and download from it."""
    hub = Hub(folder)
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda _, name, **how: hub.create_repo(name, **how))
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lambda _, **named: hub.upload_folder(**named))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.download)
    return hub
