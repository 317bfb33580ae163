"""Pictures of ECGs and charts: a pure layout step, then rendering with matplotlib.

Owns the standard ECG sheet (25 mm/s, 10 mm/mV), contact sheets of small ECGs, and the look of
charts. Takes millivolts and captions; knows nothing of files, stores, patients or findings, so any
stage and any room may draw.

shapes         lines, text and charts on paper                               (pure)
words          the fixed text of a sheet in Japanese and English             (pure)
ecg_chart      millivolts -> traces, grid, calibration pulse, lead names     (pure)
emphasis       what a score hangs on -> a band and bars below the traces    (pure)
ecg_sheet      one ECG -> an A4 sheet with a header                          (pure)
contact_sheet  several ECGs -> pages of small ones with captions             (pure)
fonts          a font that has the glyphs of a text
rendering      a sheet -> the bytes of a PNG or SVG
plot           the content of a chart: axes, series, labels                  (pure)
plot_rendering a chart -> the bytes of a PNG or SVG
web_font       text -> a font subset to embed in an HTML page
"""
