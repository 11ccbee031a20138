"""Learning: a data set and a base model in, an update out.

    ``errors``      what can go wrong, one class each
    ``settings``    the frozen :class:`~node.learning.settings.TrainingSettings` of a plan
    ``classifier``  what every network has in common: standardised input, loss, probabilities
    ``layers``      convolutions with standardised weights: nothing to average but parameters
    ``routing``     squash, lengths, dynamic routing
    ``losses``      the margin loss
    ``capsnet``     the capsule network, the default (eq. 13-16)
    ``inception``   an Inception-style extractor before its capsules
    ``cnn``         plain convolutional baselines
    ``monai_nets``  DenseNet-121 and ResNet-50, where MONAI is installed
    ``normalisation`` batch normalisation whose statistics are parameters
    ``registry``    networks by name
    ``layouts``     a model's vector: names, shapes, first values (no torch)
    ``parameters``  between a network and its vector
    ``modelfile``   a model as canonical bytes, its hash (no torch: auditors read it)
    ``augmentation`` random views of training images; ``ultrasound`` those of ultrasound frames
    ``objective``   the loss of a batch: smoothing, focus, class weights
    ``schedule``    how the learning rate moves
    ``precision``   device and bits
    ``training``    local training (eq. 1-3)
    ``results``     what a training tells and gives (no torch)
    ``clipping``    an update's length, bounded (no torch)
    ``checkpoints`` a training under way as bytes
    ``averaging``   federated averaging in the clear (eq. 4-5): what sealing must equal
    ``metrics``     accuracy, AUC, F1, confusion
    ``intervals``   of shares and of AUC, in closed form
    ``calibration`` whether probabilities mean what they say
    ``quality``     the same by resampling patients; thresholds
    ``segmentation`` lungs and heart, for cropping

The package itself imports nothing: who only reads models never loads torch.
"""
