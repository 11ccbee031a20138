"""Images: files on a hospital's disk, or drawn phantoms, become validated data sets split by patient.

    ``errors``      what can be wrong with a data set, one class each
    ``record``      the frozen :class:`~node.images.record.Dataset`
    ``archive``     npz files: ours, the MedMNIST layout, a hospital's saved share
    ``folder``      one folder of pictures per class
    ``dataset``     ``load`` picks the reader; ``resize``; re-exports the record
    ``partition``   shares for hospitals and validation splits; a patient is never split
    ``phantom``     synthetic chest-CT slices with masks, the embedded default

Nothing here imports torch; images stay ``uint8`` until training.
"""
