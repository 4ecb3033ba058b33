"""Lock files tell whether the process that made them is running."""

from skembed.cache._process_lock import ProcessLock, is_locked, lock_path, stopped_process


def test_a_lock_lasts_as_long_as_its_process(tmp_path):
    (tmp_path / "dead.lock").write_text("")
    (tmp_path / "another.lock").write_text("1")
    assert not is_locked(tmp_path / "dead.lock")
    assert not (tmp_path / "dead.lock").exists()
    lock, other = ProcessLock(tmp_path), ProcessLock(tmp_path)
    names = {f"{lock.name}.lock", f"{other.name}.lock"}
    assert {path.name for path in tmp_path.iterdir()} == names  # others were deleted
    assert is_locked(lock_path(tmp_path, lock.name))
    assert stopped_process(lock_path(tmp_path, lock.name)) is None
    lock.release()
    assert not is_locked(lock_path(tmp_path, lock.name))
    other.release()
