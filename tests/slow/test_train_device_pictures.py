"""The transformer's report on a device draws pictures there (the other stages: test_train_stages.py)."""

from tests.device_training import pretended_accelerator, report_one_step


def test_the_transformer_reports_on_the_device(monkeypatch, tmp_path):
    with pretended_accelerator(monkeypatch):
        assert len(report_one_step("transformer", tmp_path, monkeypatch)) == 1
