from safer_clip.miniature import load_zero_shot


def test_at_least_eleven_consistent_sets():
    sets = load_zero_shot()
    assert len({s.name for s in sets}) == len(sets) == 13
    for s in sets:
        assert len(s.scenes) == len(s.labels) >= 588
        assert set(s.labels) == set(range(len(s.classes)))
        assert len(s.prompts) == len(s.classes)
        assert all(s.prompts)
        assert all(not scene.unsafe for scene in s.scenes)


def test_object_and_accessory_sets_avoid_trained_combinations():
    for s in load_zero_shot():
        if s.name != "places":  # a place is asked about for any subject
            assert {scene.bucket for scene in s.scenes} == {"test"}, s.name
