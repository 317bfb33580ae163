"""Every text of the page and of its errors, in Japanese and English.

What a reader of a file says of it is in English, and shown as it is.
"""

from collections.abc import Mapping

Both = Mapping[str, str]
"""A text by language, ja and en."""


def both(ja: str, en: str) -> Both:
    """A text in both languages."""
    return {"ja": ja, "en": en}


def word(name: str, **parts: str) -> Both:
    """A text of the page by its name, filled in."""
    return {language: text.format(**parts) for language, text in WORDS[name].items()}


WORDS: Mapping[str, Both] = {
    # The page.
    "research": both(
        "研究用。医療機器ではありません。診断に使わないこと。",
        "For research; not a medical device. Do not use it for diagnosis.",
    ),
    "language": both("言語", "Language"),
    "drop": both(
        "心電図ファイルをここにドロップ",
        "Drop recordings here",
    ),
    "choose": both("ファイルを選ぶ", "Choose files"),
    "drop_about": both(
        "WFDB, DICOM, SCP-ECG, HL7 aECG, MUSE, Philips, MFER, EDF, CSV, NumPy, HDF5, MATLAB。"
        "WFDB は .hea と .dat を一緒に。1 ファイル 32 MB、一度に 20 ファイル・64 MB まで。"
        "ファイルはこのサーバの外に送られず、保存もされない。",
        "WFDB, DICOM, SCP-ECG, HL7 aECG, MUSE, Philips, MFER, EDF, CSV, NumPy, HDF5, MATLAB."
        " Drop the .hea and .dat of a WFDB recording together. Up to 32 MB a file, and 20 files or"
        " 64 MB at once. Files go nowhere but to this server, and are not kept.",
    ),
    "reading": both("読み取り中…", "Reading …"),
    "computing": both("計算中…", "Computing …"),
    "recordings": both("心電図", "Recordings"),
    "refused_short": both("読めない", "refused"),
    "forget": both("すべて消す", "Forget all"),
    "quality": both("記録の質", "Quality of the recording"),
    "good": both("目立つ問題なし", "Nothing noticeable"),
    "done_to_it": both("前処理：", "Preprocessing: "),
    "sheet": both("12 誘導心電図", "Twelve-lead ECG"),
    "sheet_of": both("{name} の 12 誘導心電図", "Twelve-lead ECG of {name}"),
    "sheet_about": both(
        "モデルが見た区間。フィルタなし、各誘導の中央値を基線に表示。",
        "The part that the model saw; no filter; each lead's median is drawn on its baseline.",
    ),
    "facts": both(
        "{rate} Hz、{seconds} 秒、心拍数 {bpm}",
        "{rate} Hz, {seconds} s, heart rate {bpm}",
    ),
    "bpm": both("{bpm}/分", "{bpm}/min"),
    "unclear": both("不明", "not clear"),
    "findings": both("所見", "Findings"),
    "findings_about": both(
        "棒は所見の文とのコサイン、縦線は閾値。確率は検証用心電図で較正したもの。"
        "n はその所見のある検証用心電図の数で、少なすぎるときは閾値も確率も「なし」。"
        "行を押すと、スコアの根拠となる誘導と時間を示す。",
        "A bar is the cosine with the finding's text; the line is its threshold. Probabilities were"
        " calibrated on validation ECGs; n is how many of them show the finding, and with too few"
        " there is neither threshold nor probability. Press a row to see which leads and times the"
        " score hangs on.",
    ),
    "task": both("課題", "Task"),
    "cosine": both("コサイン", "Cosine"),
    "probability": both("確率", "Probability"),
    "reliability": both("信頼性", "Reliability"),
    "none": both("なし", "none"),
    "above": both("閾値以上", "above its threshold"),
    "threshold": both("閾値 {threshold}", "threshold {threshold}"),
    "n_val": both("n = {n}", "n = {n}"),
    "auroc": both("AUROC {value}（{low}–{high}）", "AUROC {value} ({low}–{high})"),
    "show_all": both("すべて表示（{n}）", "Show all ({n})"),
    "show_few": both("上位のみ表示", "Show the best only"),
    "explained": both("根拠：{name}", "What the score hangs on: {name}"),
    "explained_about": both(
        "誘導と 0.1 秒ごとの区間を隠して、スコアの変化を調べた結果。モデルが使ったものを示し、"
        "心臓で起きたことや原因の証明ではない。",
        "Found by hiding leads and tenths of a second. It shows what the model uses, not what the"
        " heart does, and proves no cause.",
    ),
    "whole": both("心電図だけに戻す", "Back to the plain ECG"),
    "ask": both("自分の言葉で聞く", "Ask in your own words"),
    "ask_about": both(
        "所見を一つ書く（例：完全左脚ブロック）。答えはコサインで、確率ではない。",
        "Write one finding, such as: complete left bundle branch block. The answer is a cosine, not"
        " a probability.",
    ),
    "ask_label": both("所見の文", "Finding in your words"),
    "ask_send": both("聞く", "Ask"),
    "answer": both("コサイン {cosine}", "cosine {cosine}"),
    "distance": both(
        "最も近い学習文との距離 {distance}（0 は同じ意味、大きいほど未知）",
        "{distance} from the nearest text trained on (0: the same; the larger, the less known)",
    ),
    "no_distance": both(
        "学習文との距離は不明", "how far it is from what was trained on is not known"
    ),
    "too_far": both(
        "この距離の言い回しは、評価で偶然を上回らなかった",
        "at this distance wordings were scored no better than chance",
    ),
    "not_measured": both(
        "どこまで離れてよいかは、このモデルでは測られていない",
        "how far it may lie was not measured for this model",
    ),
    "similar": both("似た心電図", "Similar ECGs"),
    "similar_about": both(
        "アーカイブ（{n} 件）の中で最も近いもの。", "The closest of the archive's {n}."
    ),
    "similar_show": both("探す", "Search"),
    "record": both("記録", "Record"),
    "model": both("モデル", "Model"),
    "no_answer": both(
        "サーバから応答がない。端末で ecgpipe serve が動いているか確認すること。",
        "The server does not answer. See whether ecgpipe serve is still running in its terminal.",
    ),
    "nothing_dropped": both(
        "ファイルがない。フォルダではなく、その中のファイルをドロップすること。",
        "There was no file. Drop the files, not their folder.",
    ),
    # Why a request has no answer.
    "wrong_host": both(
        "この名前ではサーバを使えない。ecgpipe serve が表示したアドレスを開くこと。",
        "This server is not asked under this name. Open the address that ecgpipe serve printed.",
    ),
    "wrong_origin": both(
        "他のサイトのページからは使えない。ecgpipe serve が表示したアドレスを開くこと。",
        "Pages of other sites may not ask. Open the address that ecgpipe serve printed.",
    ),
    "wrong_token": both(
        "アドレスが不完全か古い。ecgpipe serve が表示したアドレス全体を開くこと。",
        "This address is incomplete or old. Open the whole address that ecgpipe serve printed.",
    ),
    "not_there": both(
        "このアドレスには何もない。ページを再読み込みすること。",
        "There is nothing at this address; reload the page.",
    ),
    "forgotten": both(
        "この心電図はもうサーバにない。もう一度ドロップすること。",
        "The server no longer has this ECG. Drop it again.",
    ),
    "busy": both(
        "待ち行列が一杯。少し待ってからやり直すこと。",
        "Too many requests wait already. Try again in a moment.",
    ),
    "too_long": both(
        "{seconds} 秒以内に終わらなかった。やり直すか、ファイルを減らすこと。",
        "It was not done within {seconds} s. Try again, with fewer files at once.",
    ),
    "too_large": both(
        "大きすぎる。1 ファイル 32 MB、一度に 64 MB まで。記録の必要な部分を切り出すこと。",
        "It is too large: 32 MB a file, 64 MB at once. Cut out the part that is wanted.",
    ),
    "too_many": both(
        "ファイルが多すぎる。一度に 20 まで。多数には ecgpipe predict を使うこと。",
        "There are too many files: 20 at once. Use ecgpipe predict for many.",
    ),
    "no_files": both(
        "送信にファイルがないか、途中で切れた。もう一度送ること。",
        "The request holds no files, or was cut off. Send them again.",
    ),
    "no_recording": both(
        "心電図として読めるファイルがない。WFDB は .hea と .dat を一緒にドロップすること。",
        "None of the files is a recording. Drop the .hea and .dat of a WFDB recording together.",
    ),
    "refused": both("読めない理由（英語）：{reason}", "{reason}"),
    "reading_too_long": both(
        "{seconds} 秒たっても読み終わらず、中止した。破損したファイルの可能性がある。"
        "元の装置から書き出し直すこと。",
        "Reading it was given up after {seconds} s. The file may be damaged; export it anew from"
        " where it was recorded.",
    ),
    "reading_crashed": both(
        "読み取りが途中で異常終了した。破損したファイルの可能性がある。"
        "元の装置から書き出し直すこと。",
        "The process that read it came to a sudden end. The file may be damaged; export it anew"
        " from where it was recorded.",
    ),
    "not_reached": both(
        "先のファイルに時間がかかり、読まれなかった。これだけをもう一度ドロップすること。",
        "The files before it took all the time, so it was not read. Drop it again by itself.",
    ),
    "no_question": both(
        "所見を 1 つ、200 文字以内で書くこと。",
        "Write one finding, in at most 200 characters.",
    ),
    "not_asked": both("答えられない理由（英語）：{reason}", "{reason}"),
    "no_archive": both(
        "アーカイブがない。ecgpipe serve を --archive FILE で始めること。",
        "There is no archive. Start ecgpipe serve with --archive FILE.",
    ),
    "our_mistake": both(
        "サーバの中で予期しない誤りが起きた。端末の表示を添えて報告してほしい。",
        "Something unforeseen went wrong in the server. Its terminal names the place; please"
        " report it.",
    ),
}
