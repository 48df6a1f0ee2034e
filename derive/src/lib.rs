//! `#[derive(Record)]`: a struct whose fields are filled from the columns of the same names, on either
//! engine. See `tenantry::model::rows`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Type, parse_macro_input};

/// Implements `Record`. A field can say `#[record(rename = "type")]` where its column has another name,
/// `#[record(default)]` where not every statement gives the column, and `#[record(flatten)]` where it is a
/// record itself.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

#[derive(Default)]
struct Told {
    rename: Option<String>,
    default: bool,
    flatten: bool,
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => return Err(Error::new_spanned(&input.ident, "a record has named fields")),
        },
        _ => return Err(Error::new_spanned(&input.ident, "a record is a struct")),
    };
    let (mut columns, mut reads, mut place) = (Vec::new(), Vec::new(), None);
    for field in fields {
        let (name, ty, told) = (&field.ident, &field.ty, told(field)?);
        if name.as_ref().is_some_and(|name| name == "path") && is_path(ty) {
            place = Some(quote!(
                fn place(&self) -> Option<&crate::model::Path> {
                    Some(&self.path)
                }
            ));
        }
        let column = told.rename.or_else(|| name.as_ref().map(ToString::to_string));
        columns.push(match told.flatten {
            true => quote!(<#ty as crate::model::rows::Record>::columns(names);),
            false => quote!(names.push(#column);),
        });
        reads.push(match (told.flatten, told.default) {
            (true, _) => quote!(#name: crate::model::rows::Record::read(fields)?,),
            (_, true) => quote!(#name: fields.take_or_default()?,),
            _ => quote!(#name: fields.take()?,),
        });
    }
    let ident = &input.ident;
    Ok(quote! {
        impl crate::model::rows::Record for #ident {
            fn columns(names: &mut Vec<&'static str>) {
                #(#columns)*
            }
            fn read(fields: &mut crate::model::rows::Fields<'_>) -> ::std::result::Result<Self, sqlx::Error> {
                Ok(Self { #(#reads)* })
            }
            #place
        }
    })
}

/// Whether the type is the place of an account.
fn is_path(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Path"))
}

fn told(field: &Field) -> syn::Result<Told> {
    let mut told = Told::default();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                told.rename = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("default") {
                told.default = true;
            } else if meta.path.is_ident("flatten") {
                told.flatten = true;
            } else {
                return Err(meta.error("rename, default or flatten"));
            }
            Ok(())
        })?;
    }
    Ok(told)
}
