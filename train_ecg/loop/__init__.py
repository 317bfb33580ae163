"""The training loop: steps, epochs, checkpoints, resume, several processes.

Owns what happens when. Must not know tasks or metrics: it is given a callable that validates.

training        the stage: epochs, validation, resume
step            one step: autocast, gradients, capture as a CUDA graph
arithmetic      precision and threads, and what a continued run keeps of them
rank_consensus  what several processes must decide as one
schedule        the learning rate of every step                     (pure)
early_stopping  which epoch's model is kept, and where training ends   (pure)
run_state       how far a run is, and what a checkpoint keeps of it
checkpoint      saving and finding checkpoints that are complete
run_log         log.jsonl, steps.jsonl, TensorBoard
processor_time  how long a step takes without a GPU, measured
step_profile    where the time of a step goes
accelerator     what drives the processes, and when their group ends
ranks           the processes that train together, and what they exchange
"""
