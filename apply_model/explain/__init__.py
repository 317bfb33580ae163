"""Why a score is what it is: the leads and tenths of a second that it hangs on.

occlusion    leads and stretches of time hidden: what each adds          (pure)
explanation  one ECG and one finding -> what it hangs on, and its sheet
"""
