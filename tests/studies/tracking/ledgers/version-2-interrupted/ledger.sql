BEGIN TRANSACTION;
CREATE TABLE cells (cell_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, family TEXT NOT NULL, cell TEXT NOT NULL, config TEXT NOT NULL);
INSERT INTO "cells" VALUES('ce-cb8a726ffb','digits','ce','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"ce","knobs":{"label_smoothing":0.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.1572418011003093,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.0}}','{"ce.label_smoothing":0.0,"family":"ce","lr":0.1572418011003093,"sample_margin.weight":0.0}');
INSERT INTO "cells" VALUES('ce-347c796a4a','noisy','ce','{"dataset":{"label":"noisy","label_noise":0.2,"name":"digits","noise":"symmetric"},"family":"ce","knobs":{"label_smoothing":0.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.1572418011003093,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.0}}','{"ce.label_smoothing":0.0,"family":"ce","lr":0.1572418011003093,"sample_margin.weight":0.0}');
INSERT INTO "cells" VALUES('gds-59ae9bfe89','digits','gds','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"gds","knobs":{"hardest":"attached","lam":2.0,"tau":1.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.08229137629436398,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.0}}','{"family":"gds","gds.hardest":"attached","gds.lam":2.0,"gds.tau":1.0,"lr":0.08229137629436398,"sample_margin.weight":0.0}');
INSERT INTO "cells" VALUES('gds-1632dba63f','noisy','gds','{"dataset":{"label":"noisy","label_noise":0.2,"name":"digits","noise":"symmetric"},"family":"gds","knobs":{"hardest":"attached","lam":2.0,"tau":1.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.08229137629436398,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.0}}','{"family":"gds","gds.hardest":"attached","gds.lam":2.0,"gds.tau":1.0,"lr":0.08229137629436398,"sample_margin.weight":0.0}');
INSERT INTO "cells" VALUES('cos_face-59372b52d2','digits','cos_face','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"cos_face","knobs":{"gradient":"exact","m":0.1,"s":10.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.13724186787498852,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"cos_face.gradient":"exact","cos_face.m":0.1,"cos_face.s":10.0,"family":"cos_face","lr":0.13724186787498852,"sample_margin.weight":0.1}');
INSERT INTO "cells" VALUES('cos_face-01fe938e7e','noisy','cos_face','{"dataset":{"label":"noisy","label_noise":0.2,"name":"digits","noise":"symmetric"},"family":"cos_face","knobs":{"gradient":"exact","m":0.1,"s":10.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.13724186787498852,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"cos_face.gradient":"exact","cos_face.m":0.1,"cos_face.s":10.0,"family":"cos_face","lr":0.13724186787498852,"sample_margin.weight":0.1}');
INSERT INTO "cells" VALUES('ce-2d3127c89c','digits','ce','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"ce","knobs":{"label_smoothing":0.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.0876129285417484,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"ce.label_smoothing":0.0,"family":"ce","lr":0.0876129285417484,"sample_margin.weight":0.1}');
INSERT INTO "cells" VALUES('ce-f57676bb9e','noisy','ce','{"dataset":{"label":"noisy","label_noise":0.2,"name":"digits","noise":"symmetric"},"family":"ce","knobs":{"label_smoothing":0.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.0876129285417484,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"ce.label_smoothing":0.0,"family":"ce","lr":0.0876129285417484,"sample_margin.weight":0.1}');
INSERT INTO "cells" VALUES('gds-3d718df397','digits','gds','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"gds","knobs":{"hardest":"attached","lam":1.0,"tau":1.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.2562025088039306,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"family":"gds","gds.hardest":"attached","gds.lam":1.0,"gds.tau":1.0,"lr":0.2562025088039306,"sample_margin.weight":0.1}');
INSERT INTO "cells" VALUES('gds-59b3a52930','noisy','gds','{"dataset":{"label":"noisy","label_noise":0.2,"name":"digits","noise":"symmetric"},"family":"gds","knobs":{"hardest":"attached","lam":1.0,"tau":1.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.2562025088039306,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"family":"gds","gds.hardest":"attached","gds.lam":1.0,"gds.tau":1.0,"lr":0.2562025088039306,"sample_margin.weight":0.1}');
INSERT INTO "cells" VALUES('cos_face-e6d2eecf5d','digits','cos_face','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"cos_face","knobs":{"gradient":"exact","m":0.35,"s":10.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.06139125166494093,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.0}}','{"cos_face.gradient":"exact","cos_face.m":0.35,"cos_face.s":10.0,"family":"cos_face","lr":0.06139125166494093,"sample_margin.weight":0.0}');
INSERT INTO "cells" VALUES('cos_face-e84f19d4d3','noisy','cos_face','{"dataset":{"label":"noisy","label_noise":0.2,"name":"digits","noise":"symmetric"},"family":"cos_face","knobs":{"gradient":"exact","m":0.35,"s":10.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.06139125166494093,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.0}}','{"cos_face.gradient":"exact","cos_face.m":0.35,"cos_face.s":10.0,"family":"cos_face","lr":0.06139125166494093,"sample_margin.weight":0.0}');
INSERT INTO "cells" VALUES('gds-51d39fd04a','digits','gds','{"dataset":{"label":null,"label_noise":0.0,"name":"digits","noise":"symmetric"},"family":"gds","knobs":{"hardest":"attached","lam":0.0,"tau":1.0},"model":"mlp-8","recipe":{"batch_size":128,"clip_norm":5.0,"epochs":2,"lr":0.2562025088039306,"lr_schedule":"cosine","momentum":0.9,"optimizer":"sgd","weight_decay":0.0},"regularizers":{"sample_margin":0.1}}','{"family":"gds","gds.hardest":"attached","gds.lam":0.0,"gds.tau":1.0,"lr":0.2562025088039306,"sample_margin.weight":0.1}');
CREATE TABLE epochs (
    key TEXT NOT NULL REFERENCES trials (key),
    epoch INTEGER NOT NULL,
    at REAL NOT NULL,
    seconds REAL NOT NULL,
    metrics TEXT NOT NULL,
    PRIMARY KEY (key, epoch)
) WITHOUT ROWID;
INSERT INTO "epochs" VALUES('screen-ce-2d3127c89c-1000',1,1.79529562675564432149e+09,3.16885439970064908266e-02,'{"class_margin":44.21943343790916,"train_loss":2.2469879447364276,"val_accuracy":58.77437325905292,"val_ece":0.4059863405659914,"val_nll":1.890214384761484,"val_sample_margin":-0.07292401790618896}');
INSERT INTO "epochs" VALUES('screen-ce-2d3127c89c-1000',2,1.79529562677369642254e+09,1.80344749969663098454e-02,'{"class_margin":42.38580585566998,"train_loss":1.7480615610541625,"val_accuracy":55.43175487465181,"val_ece":0.2840309896878113,"val_nll":1.630446070464336,"val_sample_margin":-0.020774194970726967}');
INSERT INTO "epochs" VALUES('screen-ce-347c796a4a-1000',1,1.79529562544719028475e+09,3.90276544996595475822e-01,'{"class_margin":45.50482600343421,"train_loss":2.238650480169627,"val_accuracy":55.43175487465181,"val_ece":0.37129703733475444,"val_nll":1.841790669628932,"val_sample_margin":-0.0832609087228775}');
INSERT INTO "epochs" VALUES('screen-ce-347c796a4a-1000',2,1.7952956256706743241e+09,2.23465274000773206353e-01,'{"class_margin":42.25616234707631,"train_loss":1.8676426828294246,"val_accuracy":57.10306406685237,"val_ece":0.31232824198283954,"val_nll":1.5571856765425505,"val_sample_margin":-0.0038971116300672293}');
INSERT INTO "epochs" VALUES('screen-ce-cb8a726ffb-1000',1,1.79529561553266668325e+09,3.4134631400229409337e-01,'{"class_margin":41.197804252271226,"train_loss":2.143131471762953,"val_accuracy":51.25348189415042,"val_ece":0.23429286748536907,"val_nll":1.6461215457037415,"val_sample_margin":-0.06080415099859238}');
INSERT INTO "epochs" VALUES('screen-ce-cb8a726ffb-1000',2,1.79529561735101127629e+09,1.81832227100676391273e+00,'{"class_margin":38.30481893577297,"train_loss":1.4463506491787463,"val_accuracy":60.72423398328691,"val_ece":0.1969828858767989,"val_nll":1.2706798794904737,"val_sample_margin":0.04462457448244095}');
INSERT INTO "epochs" VALUES('screen-ce-f57676bb9e-1000',1,1.79529562685836911197e+09,4.59536609996575862169e-02,'{"class_margin":40.677381466211195,"train_loss":2.3080527700684046,"val_accuracy":44.84679665738162,"val_ece":0.29508212813085893,"val_nll":1.9967415951121021,"val_sample_margin":-0.08621609210968018}');
INSERT INTO "epochs" VALUES('screen-ce-f57676bb9e-1000',2,1.79529562696129608156e+09,1.0290191200328990817e-01,'{"class_margin":44.672936536797984,"train_loss":2.014490539437648,"val_accuracy":59.05292479108635,"val_ece":0.386262687883941,"val_nll":1.8029904347281254,"val_sample_margin":-0.02528461068868637}');
INSERT INTO "epochs" VALUES('screen-cos_face-01fe938e7e-1000',1,1.79529562625887084007e+09,3.0607755600067321211e-01,'{"class_margin":35.49121466557936,"train_loss":4.9655791274699155,"val_accuracy":29.24791086350975,"val_ece":0.15508009031038245,"val_nll":2.1886547863873314,"val_sample_margin":-0.10855861008167267}');
INSERT INTO "epochs" VALUES('screen-cos_face-01fe938e7e-1000',2,1.79529562818618416792e+09,1.92729177699948195368e+00,'{"class_margin":37.145727118974406,"train_loss":2.7213608933555737,"val_accuracy":49.30362116991643,"val_ece":0.0862755594551796,"val_nll":1.3824389385913074,"val_sample_margin":-0.004763651639223099}');
INSERT INTO "epochs" VALUES('screen-cos_face-59372b52d2-1000',1,1.7952956265509004593e+09,5.99838485999498516321e-01,'{"class_margin":31.15643383923848,"train_loss":4.14172448837945,"val_accuracy":63.50974930362117,"val_ece":0.12020004781772695,"val_nll":1.2084390384340244,"val_sample_margin":0.025620870292186737}');
INSERT INTO "epochs" VALUES('screen-cos_face-59372b52d2-1000',2,1.79529562665890383716e+09,1.07972195000911597162e-01,'{"class_margin":39.59867266644343,"train_loss":1.531721346681045,"val_accuracy":74.09470752089136,"val_ece":0.11897772551565192,"val_nll":0.800033833858375,"val_sample_margin":0.08649760484695435}');
INSERT INTO "epochs" VALUES('screen-cos_face-e6d2eecf5d-1000',1,1.79529562767809963228e+09,1.11097492997942026704e-01,'{"class_margin":30.86582915284157,"train_loss":5.800082598271692,"val_accuracy":62.95264623955432,"val_ece":0.12791783060053263,"val_nll":1.2843498196369738,"val_sample_margin":0.03470364958047867}');
INSERT INTO "epochs" VALUES('screen-cos_face-e6d2eecf5d-1000',2,1.79529562778916382788e+09,1.11045835998083930462e-01,'{"class_margin":45.11808027320715,"train_loss":3.341307207872958,"val_accuracy":71.03064066852367,"val_ece":0.09163521426978227,"val_nll":0.7902007720851086,"val_sample_margin":0.14050139486789703}');
INSERT INTO "epochs" VALUES('screen-cos_face-e84f19d4d3-1000',1,1.79529562793521118161e+09,1.04953135996765922755e-01,'{"class_margin":37.16765153104063,"train_loss":6.400111922298569,"val_accuracy":32.590529247910865,"val_ece":0.1496039178933676,"val_nll":1.6048273556765262,"val_sample_margin":-0.03922215476632118}');
INSERT INTO "epochs" VALUES('screen-cos_face-e84f19d4d3-1000',2,1.79529562802693724637e+09,9.17074989993125200271e-02,'{"class_margin":43.59336834690445,"train_loss":4.82883673271059,"val_accuracy":65.45961002785515,"val_ece":0.22617500747379624,"val_nll":1.1351177459614965,"val_sample_margin":0.039154812693595886}');
INSERT INTO "epochs" VALUES('screen-gds-1632dba63f-1000',1,1.79529562313322281832e+09,3.06857761999708600342e-01,'{"class_margin":40.2350300725565,"train_loss":3.0195266398375957,"val_accuracy":41.78272980501393,"val_ece":0.2675704232149828,"val_nll":2.0765466341900627,"val_sample_margin":-0.20461004972457886}');
INSERT INTO "epochs" VALUES('screen-gds-1632dba63f-1000',2,1.79529562506727814676e+09,1.93403728900011628866e+00,'{"class_margin":41.74766001382094,"train_loss":2.7866116047347442,"val_accuracy":52.646239554317546,"val_ece":0.35314740460295685,"val_nll":1.9399427713531665,"val_sample_margin":-0.13337749242782593}');
INSERT INTO "epochs" VALUES('screen-gds-3d718df397-1000',1,1.79529562712249112126e+09,1.33623423003882635384e-01,'{"class_margin":34.83037910417875,"train_loss":2.649247898671006,"val_accuracy":67.13091922005572,"val_ece":0.17169604760549764,"val_nll":1.0954771651709843,"val_sample_margin":0.04376726970076561}');
INSERT INTO "epochs" VALUES('screen-gds-3d718df397-1000',2,1.79529562728228378291e+09,1.59767047996865585446e-01,'{"class_margin":47.66187435142833,"train_loss":1.2537296284559813,"val_accuracy":82.45125348189416,"val_ece":0.11482820392828809,"val_nll":0.6163097526377572,"val_sample_margin":0.10225746780633926}');
INSERT INTO "epochs" VALUES('screen-gds-59ae9bfe89-1000',1,1.79529561837275385854e+09,2.69777153000177349895e-01,'{"class_margin":41.519906820321225,"train_loss":2.9631619740681474,"val_accuracy":49.30362116991643,"val_ece":0.31938672354645314,"val_nll":1.9587273530221363,"val_sample_margin":-0.15113741159439087}');
INSERT INTO "epochs" VALUES('screen-gds-59ae9bfe89-1000',2,1.79529562065289211274e+09,2.28011592599796131253e+00,'{"class_margin":42.91868823577266,"train_loss":2.5093101239845197,"val_accuracy":54.03899721448468,"val_ece":0.30600553450438944,"val_nll":1.7263210213372777,"val_sample_margin":-0.0617341548204422}');
INSERT INTO "epochs" VALUES('screen-gds-59b3a52930-1000',1,1.79529562741857147216e+09,1.10732100998575333505e-01,'{"class_margin":41.306928197742195,"train_loss":2.860638679454899,"val_accuracy":62.674094707520894,"val_ece":0.3030143426955787,"val_nll":1.4265816227628265,"val_sample_margin":-0.03345724195241928}');
INSERT INTO "epochs" VALUES('screen-gds-59b3a52930-1000',2,1.79529562751773071288e+09,9.91401880019111558794e-02,'{"class_margin":47.390414065889715,"train_loss":2.223191778343844,"val_accuracy":76.04456824512535,"val_ece":0.2782407037539739,"val_nll":0.9880640170065088,"val_sample_margin":0.12241806834936142}');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('schema_version','2');
INSERT INTO "meta" VALUES('study_id','b488ed9843c8476e9f8a130514eda297');
INSERT INTO "meta" VALUES('environment','{"torch": "2.14.1", "torchvision": "0.29.1", "ray": "2.60.0", "optuna": "5.0.0", "mlflow": "3.17.2", "timm": "1.0.31", "numpy": "2.4.6", "pandas": "3.1.1", "python": "3.11.7"}');
INSERT INTO "meta" VALUES('spec','{"name": "tiny", "description": "", "seed": 0, "datasets": [{"dataset": "digits", "label_noise": 0.0, "noise": "symmetric", "label": null, "imbalance": null, "images_per_class": null, "classes": null, "choose": "first", "clutter": 0.0, "deform": 0.0}, {"dataset": "digits", "label_noise": 0.2, "noise": "symmetric", "label": "noisy", "imbalance": null, "images_per_class": null, "classes": null, "choose": "first", "clutter": 0.0, "deform": 0.0}], "model": "mlp-8", "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1, 2], "tau": 1}, "cos_face": {"m": [0.1, 0.35], "s": 10}}, "regularizers": {"sample_margin": {"weight": [0, 0.1]}}, "nuisance": {"lr": {"low": 0.05, "high": 0.3, "scale": "log"}}, "recipe": {"epochs": 2, "batch_size": 128, "optimizer": "sgd", "momentum": 0.9, "lr_schedule": "cosine", "clip_norm": 5.0}, "record": {"train": false, "test": false, "top_k": [], "close_enough": [], "first_steps": 0, "every_steps": null}, "screen": {"searcher": "sobol", "trials": 6, "seeds": 1, "asha": null}, "confirm": {"families": 1, "seeds": 3, "values": {"gds": [0.0, 1.0], "cos_face": [0.1, 0.35]}}, "metric": "val_accuracy", "sesoi": null, "alpha": 0.05, "resources": {"cpu": 1.0, "gpu": 0.0}, "tolerance": {"failed_share": 0.1, "consecutive": 5, "retries": 2}}');
CREATE TABLE mirrored (key TEXT PRIMARY KEY, run_id TEXT NOT NULL, epochs INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT '');
INSERT INTO "mirrored" VALUES('screen-ce-cb8a726ffb-1000','5d77ed1952a746c0bd2879104f7fee2c',2,'finished');
INSERT INTO "mirrored" VALUES('screen-gds-59ae9bfe89-1000','a1f722c725d94866a5dc232b0623ee57',2,'finished');
INSERT INTO "mirrored" VALUES('screen-ce-347c796a4a-1000','f268932337454e708ccf46bfe0bc3fae',2,'finished');
INSERT INTO "mirrored" VALUES('screen-gds-1632dba63f-1000','4a560b8398cd476c9d2cc88abadb3f82',2,'finished');
INSERT INTO "mirrored" VALUES('screen-cos_face-59372b52d2-1000','a6e9dae612814a3cbe75b9392fa65f3d',2,'finished');
INSERT INTO "mirrored" VALUES('screen-cos_face-01fe938e7e-1000','2b2ca7dea4cf43689c7846a9c857de09',2,'finished');
INSERT INTO "mirrored" VALUES('screen-ce-2d3127c89c-1000','d72201417c0b4177a99d0d50888e487e',2,'finished');
INSERT INTO "mirrored" VALUES('screen-ce-f57676bb9e-1000','e316e617ac654b519810accb18d460fc',2,'finished');
INSERT INTO "mirrored" VALUES('screen-gds-3d718df397-1000','373c15ae3ede467b89529ace21a3b52a',2,'finished');
INSERT INTO "mirrored" VALUES('screen-gds-59b3a52930-1000','eb643c1c131d4a9f82e4d7bb9e1d6bd4',2,'finished');
INSERT INTO "mirrored" VALUES('screen-cos_face-e6d2eecf5d-1000','19e39cc4cf4d4275b77702f58344fb32',2,'finished');
INSERT INTO "mirrored" VALUES('screen-cos_face-e84f19d4d3-1000','b4124bd508aa48e5bb687d9e33a403a8',2,'finished');
INSERT INTO "mirrored" VALUES('confirm-gds-51d39fd04a-0','97969c0ff708459dbefce1f1ebae42b2',0,'interrupted');
INSERT INTO "mirrored" VALUES('confirm-ce-cb8a726ffb-0','65eac6c70def43da802a95902d33d777',0,'interrupted');
INSERT INTO "mirrored" VALUES('screen-ce-cb8a726ffb','65cb47bfd7ee432998f82354ed1d0776',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-ce-347c796a4a','ba6509dba1ac47b1bf4e18b1c974fb24',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-gds-59ae9bfe89','1f17acb023a7453c9304a4be17e2fb36',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-gds-1632dba63f','499b275e19ee43899f1be4e816da3198',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-cos_face-59372b52d2','c895b7e1f94d4abc8b54e1ac09ccfc40',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-cos_face-01fe938e7e','0db97a663642496a803f5765355c0ab0',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-ce-2d3127c89c','5150f392fbd444cfa903cab08cd85941',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-ce-f57676bb9e','ccd50522bcd74b948d306c54e1b1a0ba',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-gds-3d718df397','492f834371d24b8eaa45df1074822ebc',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-gds-59b3a52930','0d9d57fb26db43b1bd6698cb7f42270c',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-cos_face-e6d2eecf5d','c5fe1b055b4448e9955dce93137b5833',0,'1 seeds');
INSERT INTO "mirrored" VALUES('screen-cos_face-e84f19d4d3','6297b0f4fb164aa4afe4cb2d348da547',0,'1 seeds');
INSERT INTO "mirrored" VALUES('study','155c891fdf8f40e2ad846ce1dba8e0bf',0,'interrupted');
CREATE TABLE steps (
    key TEXT NOT NULL REFERENCES trials (key),
    step INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    metrics TEXT NOT NULL,
    PRIMARY KEY (key, step)
) WITHOUT ROWID;
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    cell_id TEXT NOT NULL REFERENCES cells (cell_id),
    seed INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    started REAL NOT NULL,
    ended REAL,
    attempts INTEGER NOT NULL DEFAULT 1,
    UNIQUE (stage, cell_id, seed)
);
INSERT INTO "trials" VALUES('screen-ce-cb8a726ffb-1000','screen','ce-cb8a726ffb',1000,'finished','',1.79529554844669961928e+09,1.79529561737039232253e+09,1);
INSERT INTO "trials" VALUES('screen-ce-347c796a4a-1000','screen','ce-347c796a4a',1000,'finished','',1.79529555534455156321e+09,1.79529562577762103079e+09,1);
INSERT INTO "trials" VALUES('screen-gds-59ae9bfe89-1000','screen','gds-59ae9bfe89',1000,'finished','',1.79529561769743967051e+09,1.79529562091581726076e+09,1);
INSERT INTO "trials" VALUES('screen-gds-1632dba63f-1000','screen','gds-1632dba63f',1000,'finished','',1.79529562135303878784e+09,1.79529562550609660155e+09,1);
INSERT INTO "trials" VALUES('screen-cos_face-59372b52d2-1000','screen','cos_face-59372b52d2',1000,'finished','',1.79529562565731811525e+09,1.79529562666280484203e+09,1);
INSERT INTO "trials" VALUES('screen-cos_face-01fe938e7e-1000','screen','cos_face-01fe938e7e',1000,'finished','',1.79529562586848592756e+09,1.79529562818972826003e+09,1);
INSERT INTO "trials" VALUES('screen-ce-2d3127c89c-1000','screen','ce-2d3127c89c',1000,'finished','',1.79529562671728801725e+09,1.79529562678937530521e+09,1);
INSERT INTO "trials" VALUES('screen-ce-f57676bb9e-1000','screen','ce-f57676bb9e',1000,'finished','',1.79529562680502295492e+09,1.795295626964142561e+09,1);
INSERT INTO "trials" VALUES('screen-gds-3d718df397-1000','screen','gds-3d718df397',1000,'finished','',1.79529562698230099682e+09,1.79529562728558588022e+09,1);
INSERT INTO "trials" VALUES('screen-gds-59b3a52930-1000','screen','gds-59b3a52930',1000,'finished','',1.79529562730042171483e+09,1.79529562753207516667e+09,1);
INSERT INTO "trials" VALUES('screen-cos_face-e6d2eecf5d-1000','screen','cos_face-e6d2eecf5d',1000,'finished','',1.79529562754505443572e+09,1.7952956278061401844e+09,1);
INSERT INTO "trials" VALUES('screen-cos_face-e84f19d4d3-1000','screen','cos_face-e84f19d4d3',1000,'finished','',1.79529562781569623948e+09,1.79529562804777884478e+09,1);
INSERT INTO "trials" VALUES('confirm-gds-51d39fd04a-0','confirm','gds-51d39fd04a',0,'interrupted','',1.79529572118707919118e+09,NULL,1);
INSERT INTO "trials" VALUES('confirm-ce-cb8a726ffb-0','confirm','ce-cb8a726ffb',0,'interrupted','',1.79529574841003704069e+09,NULL,1);
COMMIT;
