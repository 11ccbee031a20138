"""Images: files on a hospital's disk, or drawn phantoms, become validated data sets split by patient.

    ``errors``      what can be wrong with a data set, one class each
    ``record``      the frozen :class:`~node.images.record.Dataset`
    ``archive``     npz files: ours, the MedMNIST layout, a hospital's saved share
    ``folder``      one folder of files per class: pictures, DICOM, NIfTI, mixed
    ``slices``      what one file holds; ``dicom`` and ``nifti`` read theirs
    ``windows``     Hounsfield units seen through a window
    ``card``        what a set holds, in numbers and one digest, with nobody's image or name
    ``dataset``     ``load`` picks the reader; ``resize``; re-exports the record
    ``partition``   shares for hospitals and validation splits; a patient is never split
    ``organs``      slices with masks, from a file or drawn: what finding lungs is learnt from
    ``phantom``     synthetic chest-CT slices with masks, the embedded default

Nothing here imports torch; images stay ``uint8`` until training.
"""
