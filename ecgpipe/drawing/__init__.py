"""The picture of an ECG: first where every line and word goes, in millimetres, then the drawing.

Owns the sheet that a cardiologist knows (25 mm/s, 10 mm/mV) and pages of small ones. Is handed
millivolts and captions; must not know files, stores, patients or findings, so that any stage, and
any room with something to show, may draw.

shapes         lines, words and charts on paper                              (pure)
words          the fixed words of a sheet in Japanese and English            (pure)
ecg_chart      millivolts -> traces, grid, calibration pulse, lead names     (pure)
ecg_sheet      one ECG -> a sheet of A4 with its header                      (pure)
contact_sheet  several ECGs -> pages of small ones, each with why it is there (pure)
fonts          a font that has the glyphs of what is to be written
rendering      a sheet -> the bytes of a PNG or SVG
plot           what a chart shows                                            (pure)
plot_rendering a chart -> the bytes of a PNG or SVG
web_font       letters -> a font that lies in a page
"""
