from safer_clip.progress import show_progress


def test_nothing_is_drawn_where_nobody_watches(capfd):
    with show_progress("Encoding", 10) as advance:
        advance(4)
        advance(6)
    told = capfd.readouterr()
    assert told.out + told.err == ""
