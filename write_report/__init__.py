"""What a model has to say of an ECG, as the text of a report: a draft, in Japanese and English.

Owns the wording of reports, the ways to write them, the files they are written to, and how right
they are. Must not know how an ECG is read or scored, nor pipeline.yaml: it is given a trained
model.

rung             what every way to write a report is given, and gives                     (pure)
template         findings above their thresholds -> a report, in the words of words.yaml  (pure)
nearest          the report of the nearest training ECG of another patient                (pure)
connector        an encoder's feature map -> vectors in place of words                    (pure)
writer           what a frozen language model writes behind these; a trained writer's folder
writer_training  training of the connector: steps, the best epoch, going on after a stop
writer_cost      the memory and arithmetic that this training takes
report_files     reports of many ECGs as CSV or JSON Lines
clinical_scores  F1 of the findings that written reports assert, against references       (pure)
overlap_scores   how alike the letters of written reports and references are              (pure)
ladder           the scores of all rungs, with the controls of each                       (pure)
ladder_report    these on a terminal, as Markdown, as rows of a CSV file                  (pure)
"""
