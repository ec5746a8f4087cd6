"""The text model from written text to the words that it says; a small one, on a few sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming_asr.text.features import PAUSE_BOUNDS, pause_class
from streaming_asr.text.model import CASES, MARKS, TextModel, save
from training.text.data import Lexicon, batches, whole
from training.text.export import read_shipped, to_arrays
from training.text.labels import CAPITAL, CAPITALS, COMMA, LOWER, NONE, QUESTION, STOP, UNKNOWN, read_line
from training.text.network import Network, Shape
from training.text.noise import Pauses, classes, disturb, neighbours
from training.text.prepare import spellings, to_array
from training.text.thresholds import Text, choose, mark_f1
from training.text.train import Plan, Run, begin

SMALL = Shape(words=20, pieces=40, width=16, memory=12, blocks=2, hidden=8)
TEXT = "Well, is it you? It is I, McDonald said. He has a TV. " * 20


def lexicon(folder: Path) -> tuple[Lexicon, np.ndarray]:
    words = read_line(TEXT)
    types = list(dict.fromkeys(word.word for word in words))
    folder.joinpath("types.json").write_text(json.dumps({"types": types, "seen": [9] * len(types)}))
    np.save(folder / "near.npy", neighbours(types, [9] * len(types)))
    return Lexicon.read(folder, SMALL), to_array(words, {word: place for place, word in enumerate(types)})


def labels(line: str) -> list[tuple[str, int, int]]:
    return [(word.word, word.mark, word.case) for word in read_line(line)]


def test_a_written_line_becomes_words_with_marks_and_cases() -> None:
    assert labels('"Well," I said, "is it NASA?"') == [
        ("well", COMMA, UNKNOWN),
        ("i", NONE, CAPITAL),
        ("said", COMMA, LOWER),
        ("is", NONE, LOWER),
        ("it", NONE, LOWER),
        ("nasa", QUESTION, CAPITALS),
    ]


def test_a_full_stop_before_small_letters_ends_no_sentence() -> None:
    assert [mark for _, mark, _ in labels("Stop! he cried.")] == [COMMA, NONE, STOP]


def test_titles_keep_their_point_and_hyphens_part_words() -> None:
    assert labels("So Mr. Half-done left") == [
        ("so", NONE, UNKNOWN),
        ("mr", NONE, CAPITAL),
        ("half", NONE, CAPITAL),
        ("done", NONE, LOWER),
        ("left", UNKNOWN, LOWER),
    ]


@pytest.mark.parametrize("line", ["no capital, no care.", "it cost $5", "CHAPTER THE FIRST", "Then i left."])
def test_lines_that_cannot_teach_are_left_out(line: str) -> None:
    assert read_line(line) == []


def test_a_query_tells_only_its_last_mark() -> None:
    assert [(word.mark, word.case) for word in read_line("is it on", query=True)] == [
        (NONE, UNKNOWN),
        (NONE, UNKNOWN),
        (QUESTION, UNKNOWN),
    ]


def test_spellings_are_those_that_no_rule_gives() -> None:
    assert spellings(read_line(TEXT)) == {"mcdonald": "McDonald"}


def test_noise_leaves_marks_to_the_words_before() -> None:
    rows = np.tile(np.array([[0, NONE, LOWER], [1, STOP, LOWER]]), (500, 1))
    disturbed = disturb(rows, np.zeros((2, 4), dtype=np.int64), np.random.default_rng(3))
    assert len(disturbed) != len(rows)
    assert abs(int((disturbed[:, 1] == STOP).sum()) - 500) < 60


def test_pauses_are_classed_as_at_inference() -> None:
    pauses = np.array([np.nan, 0.0, *PAUSE_BOUNDS, 9.0])
    assert list(classes(pauses)) == [pause_class(None), *(pause_class(one) for one in pauses[1:])]


def test_the_shipped_model_computes_what_was_trained(tmp_path: Path) -> None:
    words, rows = lexicon(tmp_path)
    torch.manual_seed(0)
    network = Network(SMALL)
    save(
        tmp_path / "model",
        to_arrays(network),
        language="en",
        words=words.listed,
        spellings={},
        blocks=SMALL.blocks,
    )
    model = TextModel.load(tmp_path / "model")
    network = read_shipped(tmp_path / "model")
    before = np.arange(30) % 5
    batch = whole(rows[:30], words, before=before, going_on=np.full(30, 3))
    with torch.inference_mode():
        vectors = network.embed(batch.words, batch.pieces, batch.offsets)[batch.places]
        logits = network(vectors, batch.pauses, batch.going_on)
    readings, state = [], model.initial_state
    for row, pause in zip(rows[:30], before, strict=True):
        readings.append(model.read(state, words.types[row[0]], int(pause)))
        state = readings[-1].state
    for ahead, expected in enumerate(logits):
        for at in (0, 7, 20):
            later = readings[at + ahead] if ahead else None
            judged = model.judge(readings[at], later, ahead, pause=3)
            marks = torch.softmax(expected[at, 0, : len(MARKS)], -1).numpy()
            cases = torch.softmax(expected[at, 0, -len(CASES) :], -1).numpy()
            np.testing.assert_allclose(judged.marks, marks, atol=1e-4)
            np.testing.assert_allclose(judged.cases, cases, atol=1e-4)


def quick_run(plan: Plan, seed: int = 0) -> Run:
    torch.manual_seed(seed)
    return Run(Network(SMALL), plan)


def test_training_learns_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    words, rows = lexicon(tmp_path)
    plan = Plan(steps=60, size=4, time=12, warm_up=5, cool_down=10)
    pauses = Pauses(np.sort(np.random.default_rng(0).random((4, 9)), axis=1))

    def learn(run: Run, steps: int) -> list[float]:
        stream = batches(rows, words, pauses, time=12, size=4, steps=steps, generator=run.generator)
        return [run.learn(batch) for batch in stream]

    whole_run, first = quick_run(plan), quick_run(plan)
    losses = learn(whole_run, 60)
    learn(first, 25)
    first.save(tmp_path / "run")
    second = quick_run(replace(plan), seed=9)
    second.restore(tmp_path / "run")
    assert learn(second, 35) == losses[25:]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_marks_that_are_never_the_most_probable_are_set_where_they_are_likely() -> None:
    marks = np.array([NONE, COMMA, NONE, STOP, QUESTION] * 20)
    logits = np.zeros((len(marks), len(MARKS) + len(CASES)))
    logits[:, NONE] = np.where(marks == COMMA, 0.45, 2.0)
    logits[marks >= STOP, marks[marks >= STOP]] = 5.0
    logits[:, len(MARKS) + LOWER] = 5.0
    text = Text(logits, marks, np.full(len(marks), LOWER))
    biases = choose([text])
    assert mark_f1([text], np.zeros_like(biases)) < 0.7
    assert mark_f1([text], biases) == 1
    assert 0.45 < biases[COMMA] < 2
    assert biases[STOP] == biases[QUESTION] == 0


def test_what_is_preferred_changes_what_is_set_and_no_probability(tmp_path: Path) -> None:
    words, _ = lexicon(tmp_path)
    torch.manual_seed(0)
    arrays = to_arrays(Network(SMALL))
    judged = []
    for name, bias in (("plain", 0.0), ("stops", 50.0)):
        biases = [[0.0, 0.0, bias, 0.0, 0.0, bias, 0.0]] * SMALL.lookaheads
        save(
            tmp_path / name,
            arrays,
            language="en",
            words=words.listed,
            spellings={},
            blocks=SMALL.blocks,
            biases=biases,
        )
        model = TextModel.load(tmp_path / name)
        judged.append(model.judge(model.read(model.initial_state, "well")))
    assert (judged[1].mark, judged[1].case) == (".", "capital")
    np.testing.assert_array_equal(judged[0].marks, judged[1].marks)
    assert judged[0].completeness == judged[1].completeness


def test_training_begins_with_an_exported_model_of_the_same_words(tmp_path: Path) -> None:
    words, _ = lexicon(tmp_path)
    torch.manual_seed(3)
    arrays = to_arrays(Network(SMALL))
    save(tmp_path / "start", arrays, language="en", words=words.listed, spellings={}, blocks=SMALL.blocks)
    run = begin(Plan(), words, SMALL, tmp_path / "start")
    for name, values in to_arrays(run.network).items():
        np.testing.assert_allclose(values.astype(float), arrays[name].astype(float), rtol=2e-2)
    (tmp_path / "other").mkdir()
    save(tmp_path / "other", arrays, language="en", words=["another"], spellings={}, blocks=SMALL.blocks)
    with pytest.raises(SystemExit, match="other words"):
        begin(Plan(), words, SMALL, tmp_path / "other")
