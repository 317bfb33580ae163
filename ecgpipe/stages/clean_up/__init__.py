"""`ecgpipe gc`: what no pipeline.yaml needs any more is listed, and removed on request.

Owns what is needed, what may be removed, and when. Must not know what is inside a store.

clean_up  the stage: list, and remove
contents  what ecgpipe made in a work_dir, piece by piece
needs     which pieces the given settings need
sizes     how much room pieces take, and when they were last used
"""
