"""Prose in several languages and of several kinds, put together from a seed: what a model is checked and measured with."""

from __future__ import annotations

import random
from collections.abc import Sequence

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "The committee met on Monday and decided, after a long debate, to postpone the vote until the auditors had finished their work.",
        "Nobody had expected the river to rise so quickly, and by the evening the lower part of the town could only be reached by boat.",
        "We don't recommend changing the timeout of 30 seconds unless the upstream service has been measured under load first.",
        "Her second novel, which appeared eleven years after the first, was praised for its patience and for the things it left unsaid.",
        "If the cache is cold, the first request takes about 450 ms; every later one is answered in less than 12 ms.",
        "It isn't clear why the replicas were restarted, but the log of that night shows that the disk was full at 03:14.",
        "Most of the visitors came for the garden, walked once around the pond, and left without ever entering the house.",
        "The state-of-the-art system was trained on 1.2 million pairs and still failed on sentences that a child would understand.",
        "Please read `docs/setup.md` before you open an issue, and attach the output of the command to your report.",
        "What the minister said in public was not what he had told his colleagues in the meeting on the previous day.",
    ),
    "de": (
        "Der Ausschuss hat am Montag beschlossen, die Abstimmung zu verschieben, bis die Prüfer ihre Arbeit beendet haben.",
        "Niemand hatte erwartet, dass der Fluss so schnell steigen würde, und am Abend war die Unterstadt nur mit dem Boot zu erreichen.",
        "Die Zeitüberschreitung von 30 Sekunden sollte nicht geändert werden, solange der Dienst nicht unter Last gemessen wurde.",
        "Ihr zweiter Roman, der elf Jahre nach dem ersten erschien, wurde für seine Geduld gelobt.",
        "Warum die Rechner in jener Nacht neu gestartet wurden, ist bis heute nicht geklärt.",
    ),
    "fr": (
        "Le comité s'est réuni lundi et n'a rien décidé, car la moitié de ses membres n'était pas encore arrivée.",
        "Personne ne s'attendait à ce que la rivière monte aussi vite, et le soir on ne pouvait atteindre la basse ville qu'en bateau.",
        "Son deuxième roman, paru onze ans après le premier, a été salué pour sa patience.",
        "Il ne faut jamais modifier le délai de 30 secondes sans avoir d'abord mesuré le service.",
    ),
    "es": (
        "El comité se reunió el lunes y decidió aplazar la votación hasta que los auditores terminaran su trabajo.",
        "Nadie esperaba que el río creciera tan rápido, y por la tarde sólo se podía llegar al barrio bajo en barca.",
        "¿Por qué se reiniciaron los servidores aquella noche? Todavía no se sabe.",
        "Su segunda novela, publicada once años después de la primera, fue elogiada por su paciencia.",
    ),
    "it": (
        "Il comitato si è riunito lunedì e ha deciso di rinviare il voto finché i revisori non avranno finito il loro lavoro.",
        "Nessuno si aspettava che il fiume salisse così in fretta, e la sera la città bassa si raggiungeva soltanto in barca.",
        "Il suo secondo romanzo, uscito undici anni dopo il primo, è stato lodato per la pazienza.",
    ),
    "ru": (
        "Комитет собрался в понедельник и решил отложить голосование, пока проверка не закончена.",
        "Никто не ожидал, что река поднимется так быстро, и к вечеру до нижнего города можно было добраться только на лодке.",
        "Её второй роман вышел через одиннадцать лет после первого.",
    ),
    "zh": (
        "委员会星期一开会，决定在审计完成之前推迟表决。",
        "没有人预料到河水会涨得这么快，到了晚上只能坐船去下城。",
        "她的第二部小说在第一部之后十一年才出版。",
    ),
    "ja": (
        "委員会は月曜日に開かれ、監査が終わるまで投票を延期することを決めた。",
        "川がそんなに早く増水するとは誰も思わなかった。",
    ),
    "ko": (
        "위원회는 월요일에 모여 감사가 끝날 때까지 표결을 미루기로 했다.",
        "강물이 그렇게 빨리 불어날 줄은 아무도 예상하지 못했다.",
    ),
}
KINDS = ("article", "paragraphs", "transcript", "notes", "manual", "line")
_SPEAKERS = ("Anna", "Bruno", "Chen", "Dr. Okafor")


def text(language: str, kind: str, sentences: int, seed: int) -> str:
    """About so many sentences of a language, in the form of a kind."""
    draw = random.Random(f"{language}-{kind}-{sentences}-{seed}")
    said = [_varied(draw.choice(SENTENCES[language]), draw) for _ in range(sentences)]
    if kind == "transcript":
        return "\n".join(f"{draw.choice(_SPEAKERS)}: {sentence}" for sentence in said)
    if kind == "notes":
        return "\n".join(f"- {sentence}" for sentence in said)
    if kind == "manual":
        parts = [said[at : at + 4] for at in range(0, len(said), 4)]
        return "\n\n".join(f"## {number}. {part[0][:24].strip()}\n\n{_joined(part)}" for number, part in enumerate(parts, 1))
    if kind == "paragraphs":
        return "\n\n".join(_joined(said[at : at + 5]) for at in range(0, len(said), 5))
    if kind == "line":
        return "  ".join(said)
    return _joined(said)


def many(count: int, seed: int = 0, most: int = 60) -> list[str]:
    """So many texts of 1 to `most` sentences, every language and kind in turn."""
    draw = random.Random(seed)
    languages = tuple(SENTENCES)
    return [
        text(languages[number % len(languages)], KINDS[number % len(KINDS)], max(1, round(most ** draw.random())), seed + number)
        for number in range(count)
    ]


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(sentences)


def _varied(sentence: str, draw: random.Random) -> str:
    """Some of its words in another order, so that no two sentences are alike."""
    words = sentence.split(" ")
    if len(words) > 6:
        at, to = draw.randrange(1, len(words) - 2), draw.randrange(1, len(words) - 2)
        words[at], words[to] = words[to], words[at]
    return " ".join(words)
